/** A package with what a user would try of it, as a shell command that ends with 0. */
export interface CampaignPackage {
  readonly name: string;
  /** What is installed, where it is not the name alone. */
  readonly install?: string;
  readonly check: string;
}

/** Asks for a page of 127.0.0.1 and prints the status line. */
const page = (port: number) =>
  `bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; head -n 1 <&3' | grep -q HTTP/1`;
const eventually = (command: string) => `for i in $(seq 50); do ${command} && break; sleep 0.1; done; ${command}`;

/**
 * Packages of Debian bookworm that people put into images: daemons with accounts of their own, languages, editors, libraries
 * with caches, packages with diversions, alternatives, triggers and generated secrets, and some that exclude each other.
 */
export const PACKAGES: readonly CampaignPackage[] = [
  { name: 'nginx-light', check: `nginx -t && nginx && ${page(80)}; s=$?; nginx -s stop; sleep 0.3; exit $s` },
  { name: 'apache2', check: 'apachectl configtest' },
  { name: 'lighttpd', check: 'lighttpd -tt -f /etc/lighttpd/lighttpd.conf' },
  { name: 'haproxy', check: 'haproxy -c -f /etc/haproxy/haproxy.cfg' },
  { name: 'squid', check: 'squid -k parse' },
  {
    name: 'postgresql',
    check: [
      'P=/usr/lib/postgresql/15/bin; D=$(mktemp -d); chown postgres: $D',
      'runuser -u postgres -- $P/initdb -D $D/d >/dev/null',
      'runuser -u postgres -- $P/pg_ctl -w -D $D/d -o \'-k /tmp -h ""\' -l $D/log start >/dev/null',
      "test $(runuser -u postgres -- psql -h /tmp -Atc 'select 41+1') = 42",
      's=$?; runuser -u postgres -- $P/pg_ctl -m immediate -D $D/d stop >/dev/null; rm -r $D; exit $s',
    ].join('; '),
  },
  {
    name: 'redis-server',
    check: `runuser -u redis -- redis-server --port 0 --unixsocket /tmp/redis.sock --daemonize yes >/dev/null; ${eventually('redis-cli -s /tmp/redis.sock ping 2>/dev/null | grep -q PONG')}; s=$?; redis-cli -s /tmp/redis.sock shutdown nosave; exit $s`,
  },
  { name: 'memcached', check: 'memcached -V' },
  { name: 'mariadb-client', check: 'mariadb --version' },
  { name: 'sqlite3', check: 'test "$(sqlite3 :memory: \'select 6*7\')" = 42' },
  { name: 'openssh-server', check: 'mkdir -p /run/sshd && sshd -t' },
  { name: 'postfix', check: 'postconf -n' },
  { name: 'exim4-daemon-light', check: 'exim4 -bV' },
  { name: 'bind9', check: 'named-checkconf' },
  {
    name: 'unbound',
    // Its own file asks for a key that is made when it starts.
    check: 'echo server: >/tmp/unbound.conf && unbound-checkconf /tmp/unbound.conf',
  },
  { name: 'dnsmasq-base', check: 'dnsmasq --test' },
  { name: 'chrony', check: 'chronyd -p -f /etc/chrony/chrony.conf' },
  { name: 'rsyslog', check: 'rsyslogd -N1' },
  { name: 'cron', check: 'runuser -u nobody -- true && id -g crontab 2>/dev/null || getent group crontab' },
  { name: 'logrotate', check: 'logrotate -d /etc/logrotate.conf' },
  { name: 'systemd', check: 'systemctl --version' },
  { name: 'dbus', check: 'dbus-daemon --version && dbus-uuidgen --ensure' },
  { name: 'avahi-daemon', check: 'avahi-daemon --version' },
  { name: 'docker.io', check: 'docker --version && getent group docker' },
  { name: 'sudo', check: 'visudo -c' },
  { name: 'php-cli', check: "test $(php -r 'echo 6*7;') = 42" },
  { name: 'ruby', check: "test $(ruby -e 'puts 6*7') = 42" },
  { name: 'nodejs', check: "test $(node -e 'console.log(6*7)') = 42" },
  { name: 'default-jre-headless', check: 'java -version' },
  { name: 'python3-yaml', check: 'python3 -c \'import yaml; yaml.safe_load("a: 1")\'' },
  { name: 'python3-numpy', check: "python3 -c 'import numpy; assert numpy.arange(4).sum() == 6'" },
  { name: 'libjson-perl', check: "perl -MJSON -e 'print encode_json({})'" },
  { name: 'tcl', check: "echo 'puts [expr 6*7]' | tclsh | grep -q 42" },
  { name: 'lua5.4', check: "test $(lua5.4 -e 'print(6*7)') = 42" },
  {
    name: 'gcc',
    install: 'gcc libc6-dev',
    check: 'echo "int main(){return 0;}" >/tmp/x.c && gcc -o /tmp/x /tmp/x.c && /tmp/x',
  },
  { name: 'make', check: 'make --version' },
  { name: 'git', check: 'git init -q /tmp/campaign-git && rm -r /tmp/campaign-git' },
  { name: 'curl', check: 'curl --version' },
  { name: 'ca-certificates', check: 'openssl version 2>/dev/null; test -s /etc/ssl/certs/ca-certificates.crt' },
  {
    name: 'ssl-cert',
    check:
      'cmp_key() { openssl "$@" | sha256sum; }; test "$(cmp_key x509 -pubkey -noout -in /etc/ssl/certs/ssl-cert-snakeoil.pem)" = "$(cmp_key pkey -pubout -in /etc/ssl/private/ssl-cert-snakeoil.key)"',
  },
  { name: 'vim', check: 'vim --version && vim -es -c "help" -c q' },
  { name: 'vim-tiny', check: 'vim.tiny --version' },
  { name: 'emacs-nox', check: "test $(emacs --batch --eval '(princ (* 6 7))') = 42" },
  { name: 'nano', check: 'nano --version' },
  { name: 'less', check: 'less --version' },
  { name: 'man-db', check: 'man --version' },
  { name: 'tmux', check: 'tmux -V' },
  { name: 'zsh', check: "test $(zsh -c 'echo $((6*7))') = 42" },
  { name: 'locales', check: 'locale-gen --help' },
  { name: 'tzdata', install: 'tzdata', check: 'test -e /usr/share/zoneinfo/Europe/Berlin' },
  { name: 'fontconfig', install: 'fontconfig fonts-dejavu-core', check: 'fc-list | grep -q DejaVu' },
  { name: 'libgtk-3-bin', check: 'gtk-encode-symbolic-svg --help' },
  { name: 'shared-mime-info', check: 'test -s /usr/share/mime/mime.cache' },
  { name: 'imagemagick', check: 'convert -size 4x4 xc:red /tmp/x.png' },
  { name: 'graphviz', check: "echo 'digraph { a -> b }' | dot -Tsvg | grep -q '<svg'" },
  { name: 'texinfo', check: 'makeinfo --version' },
  { name: 'stunnel4', check: 'stunnel4 -version' },
  { name: 'mosquitto', check: 'mosquitto -h | head -n 1' },
  { name: 'tor', check: 'runuser -u debian-tor -- tor --verify-config' },
];
