/** Files of which the order of lines says in which order packages came, and nothing else. */
const LINE_SETS = [
  'etc/shells',
  'etc/ca-certificates.conf',
  'var/lib/ucf/hashfile',
  'var/lib/ucf/registry',
  'var/lib/dpkg/statoverride',
  'var/lib/dpkg/triggers/File',
  'var/lib/systemd/deb-systemd-helper-enabled/.*',
] as const;

/** Compared otherwise, made anew at any time, or another on each of two installations of the same packages. */
const LEFT_OUT = [
  'proc|sys|dev|run|tmp|report|repository|root|var/tmp|var/log|var/cache|var/backups|etc/hosts|etc/hostname|etc/resolv[.]conf',
  'var/lib/apt|etc/mtab|etc/[.]pwd[.]lock',
  'var/lib/dpkg/(status|available|diversions|lock.*|triggers/Lock|[a-z]+-old)',
  'etc/(passwd|group|shadow|gshadow|subuid|subgid)-?',
  // Identities.
  'etc/ssh/ssh_host_.*|etc/ssl/(certs/[0-9a-f]{8}[.]0|certs/ssl-cert-snakeoil[.]pem|private/ssl-cert-snakeoil[.]key)',
  'etc/machine-id|var/lib/dbus/machine-id|etc/bind/rndc[.]key|etc/unbound/unbound_.*|var/lib/systemd/random-seed',
  'var/lib/postgresql/.*/.*|etc/ssl/certs/java/cacerts',
  // A Berkeley DB has an identity of its own.
  'etc/aliases[.]db',
] as const;

/**
 * A shell script that looks at an image and writes what it finds below `/report`, in a form in which two images are equal
 * where they do not differ in what a user would call a difference: owners by name, accounts without their numbers.
 */
export function reportScript(checks: readonly { readonly name: string; readonly check: string }[]): string {
  const lineSets = LINE_SETS.join('|');
  return `set +e
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /
say() { n=$1; shift; { "$@"; echo "status $?"; } >/report/$n 2>&1; }
# What is pending is settled first, as the next run of dpkg or apt would.
dpkg-query -W -f '\${Package} \${Triggers-Pending}\\n' | grep ' .' >/report/pending.txt
say configure.txt dpkg --configure -a
say packages dpkg-query -W -f '\${binary:Package} \${Version} \${Status}\\n'
say conffiles dpkg-query -W -f '\${binary:Package}\\n\${Conffiles}\\n'
say audit dpkg --audit
say verify dpkg --verify
say check sh -c 'apt-get check 2>&1 | grep -v "^Reading\\|^Building"'
# Whether it asks for a home depends on the id.
say pwck sh -c 'pwck -r 2>&1 | grep -v "directory .* does not exist" | sed "s/[0-9][0-9]*/N/g" | sort'
say grpck sh -c 'grpck -r 2>&1 | sort'
say accounts sh -c 'getent passwd | cut -d: -f1,5- | sort; getent group | sort | while IFS=: read n x g m; do echo "$n $(echo "$m" | tr , "\\n" | sort | tr "\\n" " ")"; done'
say primary sh -c 'getent passwd | cut -d: -f1 | while read u; do echo "$u $(id -gn $u) $(id -Gn $u | tr " " "\\n" | sort | tr "\\n" " ")"; done | sort'
say same-ids sh -c 'getent passwd | cut -d: -f3 | sort | uniq -d; getent group | cut -d: -f3 | sort | uniq -d'
say shadow sh -c 'cut -d: -f1,2 /etc/shadow | sort; cut -d: -f1,2 /etc/gshadow | sort'
say alternatives sh -c 'update-alternatives --get-selections | sort'
say diversions sh -c 'dpkg-divert --list | sort'
say libraries sh -c 'ldconfig -p | sort'
say stale sh -c 'cp /etc/ld.so.cache /tmp/ld.so.cache.before; ldconfig -X; cmp /etc/ld.so.cache /tmp/ld.so.cache.before'
say automatic sh -c 'apt-mark showauto | sort'
say strangers sh -c 'find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /report -o -path /repository \\) -prune -o \\( -nouser -o -nogroup \\) -print'
find . -xdev -regextype posix-extended -regex '[.]/(${LEFT_OUT.join('|')})' -prune -o -printf '%P\\t%y %m %u:%g %l\\n' | sort >/report/nodes
find . -xdev -regextype posix-extended -regex '[.]/(${LEFT_OUT.join('|')}|etc/postfix/main[.]cf|${lineSets})' -prune -o -type f -printf '%P\\n' | sort >/tmp/files
# What dpkg has found to be as its package has it need not be read again.
sed -n 's/^[^ ]* *\\([a-z] \\)\\? *\\///p' /report/verify | sort >/tmp/others
cat /var/lib/dpkg/info/*.md5sums | cut -c35- | sort -u | comm -23 - /tmp/others >/tmp/verified
comm -23 /tmp/files /tmp/verified | tr '\\n' '\\0' | xargs -0 sha256sum >/report/contents
say postfix sh -c 'grep -v "^\\(myhostname\\|mydestination\\) " /etc/postfix/main.cf'
find . -xdev -regextype posix-extended -regex '[.]/(proc|sys|dev|report|repository)' -prune -o -regex '[.]/(${lineSets})' -type f -print | sort | while read f; do echo "$f $(sort "$f" | sha256sum)"; done >/report/line-sets
${checks.map(({ name, check }) => `(${check}) >/report/try-${name}.txt 2>&1; echo $? >/report/works-${name}`).join('\n')}
`;
}

/** Removes the package, and what came for its sake, and looks again. */
export function removalScript(install: string): string {
  return `export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
apt-get remove -y --purge --autoremove ${install} >/report/removal.txt 2>&1; echo $? >/report/removed
dpkg --audit >/report/removed-audit 2>&1
dpkg-query -W -f '\${binary:Package} \${Version} \${Status}\\n' >/report/removed-packages 2>&1
dpkg-divert --list | sort >/report/removed-diversions
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /report -o -path /repository -o -path /var/log -o -path /var/cache -o -path /run -o -path /tmp -o -name machine-id \\) -prune -o -type f -printf '%p' \\( -path '/usr/*' -printf ' %s\\n' -o -printf '\\n' \\) | sort >/report/removed-files
`;
}

/** Lines of one report that the other lacks, by name of the report; files whose name ends in .txt are for people. */
export function compareReports(
  applied: ReadonlyMap<string, string>,
  installed: ReadonlyMap<string, string>,
): Readonly<Record<string, readonly string[]>> {
  const found: Record<string, readonly string[]> = {};
  for (const name of new Set([...applied.keys(), ...installed.keys()])) {
    if (name.endsWith('.txt')) continue;
    const [left, right] = [applied.get(name), installed.get(name)];
    if (left === right) continue;
    const lines = (text: string | undefined) => new Set((text ?? 'no report').split('\n').map(sameEverywhere));
    const [own, other] = [lines(left), lines(right)];
    const differing = [
      ...[...own].filter(line => !other.has(line)).map(line => `applied: ${line}`),
      ...[...other].filter(line => !own.has(line)).map(line => `in turn: ${line}`),
    ];
    if (differing.length > 0) found[name] = differing;
  }
  return found;
}

/** Without what differs between two runs of the same commands. */
function sameEverywhere(line: string): string {
  return line.replace(/ssh_host_\w+_key.*|certs\/[0-9a-f]{8}\.0/, 'identity');
}
