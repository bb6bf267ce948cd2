import { createHash } from 'node:crypto';
import { isIn, type IdClass, type IdClasses } from './id-ranges.ts';

/**
 * Daemons that are common enough to have a number of their own: the id is `FIRST_KNOWN` and the position. Names are only
 * ever added at the end: a number that was handed out is in images and on volumes.
 */
const KNOWN = `
postgres redis mysql mongodb memcache memcached valkey etcd influxdb clickhouse
cassandra elasticsearch opensearch neo4j couchdb rabbitmq nats mosquitto kafka zookeeper
nginx apache httpd caddy haproxy varnish vcache vcachelog squid traefik
envoy lighttpd tomcat jetty jenkins gitea git gitlab-runner nexus sonarqube
postfix postdrop Debian-exim exim opendkim opendmarc dovecot dovenull spamd clamav
clamd amavis rspamd policyd-spf vmail smmsp smmta sendmail-msp mlmmj
sshd ssh _ssh ssl-cert crontab syslog rsyslog messagebus polkitd avahi
systemd-network systemd-resolve systemd-timesync systemd-coredump systemd-oom systemd-journal systemd-journal-remote systemd-journal-gateway systemd-journal-upload systemd-bus-proxy
input kvm render sgx tss colord geoclue rtkit pulse pipewire
lightdm gdm sddm uuidd _chrony chrony ntp ntpsec _ntp openntpd
bind named unbound knot nsd pdns dnsmasq _dnsdist stubby dnscrypt
dhcpd _dhcpd dhcpcd kea _kea radvd radiusd freerad openvpn strongswan
openldap slapd sssd nslcd kdc _krb5 statd _rpc rpc rpcuser
nfsnobody ganesha gluster ceph rbd minio proftpd ftp vsftpd pureftpd
prometheus node_exporter grafana loki telegraf collectd zabbix nagios icinga munin
snmp Debian-snmp netdata statsd graphite _graphite carbon fluentd td-agent filebeat
logstash kibana vector journalbeat docker containerd podman libvirt libvirt-qemu qemu
_lldpd frr frrvty quagga quaggavty bird keepalived tor privoxy i2psvc
www nobody-web php-fpm uwsgi gunicorn celery odoo nextcloud wordpress mediawiki
asterisk freeswitch kamailio coturn turnserver jvb jicofo prosody ejabberd murmur
tcpdump wireshark arpwatch suricata snort ossec wazuh fail2ban aide _aide
man mlocate plocate locate screen utempter utmp lp-admin saned scanner
cups lpadmin hplip _apt-cacher apt-cacher-ng apt-mirror aptly reprepro pbuilder sbuild
backuppc bareos bacula borg restic amanda urbackup syncthing transmission debian-transmission
plex jellyfin mpd icecast2 minidlna motion homeassistant nodered zigbee2mqtt esphome
_flatpak flatpak snapd packagekit fwupd fwupd-refresh usbmux gnome-initial-setup gnome-remote-desktop ippusb
`
  .split(/\s+/)
  .filter(name => name !== '');

const FIRST_KNOWN = 300;
const MOST_BY_HASH = 49_999;

/** Raised where a name's number would be another than before. */
export const STABLE_IDS_VERSION = 1;

const known: ReadonlyMap<string, number> = new Map(KNOWN.map((name, index) => [name, FIRST_KNOWN + index]));
const reserved: ReadonlySet<number> = new Set(known.values());

/**
 * Numbers for an account of this name, the best first: the same for a name in every image whose classes are the same. A
 * known daemon's own number, then those of the class from one on that the name alone decides. What tools hand out by
 * themselves, which begins at either end of the class, is left to them as far as there is room.
 */
export function* stableIds(name: string, kind: 'system' | 'ordinary', classes: IdClasses): Generator<number> {
  const own = known.get(name);
  if (kind === 'system' && own !== undefined && isIn(classes.system, own)) yield own;
  const whole = classes[kind];
  const middle = kind === 'system' ? within(whole, 200, 899) : within(whole, 20_000, MOST_BY_HASH);
  const { first, last } = middle;
  const size = last - first + 1;
  const start = createHash('sha256').update(name, 'latin1').digest().readUInt32BE(0) % size;
  for (let step = 0; step < size; step++) {
    const id = first + ((start + step) % size);
    if (kind === 'ordinary' || !reserved.has(id)) yield id;
  }
  for (let id = whole.first; id <= whole.last; id++) if (!isIn(middle, id)) yield id;
}

/** With fewer the name would decide nothing. */
const ENOUGH = 100;

function within(whole: IdClass, low: number, high: number): IdClass {
  const first = Math.max(whole.first, low);
  const last = Math.min(whole.last, high);
  return last - first + 1 >= ENOUGH ? { first, last } : whole;
}
