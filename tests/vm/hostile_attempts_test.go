package vm_test

// trial is an attempt of a maintainer script that needs a machine with a kernel of its
// own, systemd, or a login terminal. It is a shell script with exit status 0 if it has
// reached the running system. If the script cannot know, it ends with 1, and the host's
// fingerprint shows the effect.
type trial struct{ name, script string }

// tops are the places where a script looks for the running system's files.
const tops = `for top in "" /proc/1/root /proc/self/root /proc/*/root /proc/*/cwd /tmp/mounted; do
	[ -e "$top/" ] || [ -z "$top" ] || continue
`

// onCgroup writes to a file of the victim's control group, by each way to it.
func onCgroup(file, value string) string {
	return `mkdir -p /tmp/mounted/sys/fs/cgroup; mount -t cgroup2 cgroup2 /tmp/mounted/sys/fs/cgroup
` + tops + `	for f in "$top"/sys/fs/cgroup/system.slice/bt-victim.service/` + file + ` "$top"/sys/fs/cgroup/unified/system.slice/bt-victim.service/` + file + `; do
		[ ! -e "$f" ] || ! echo ` + value + ` >"$f" || exit 0
	done
done
exit 1`
}

// onProc writes to a file of /proc, by each way to it.
func onProc(file, command string) string {
	return `mkdir -p /tmp/mounted/proc; mount -t proc proc /tmp/mounted/proc
` + tops + `	f=$top/proc/` + file + `
	[ ! -e "$f" ] || ! { ` + command + `; } || exit 0
done
exit 1`
}

// ownValue writes a file's own value to the file.
const ownValue = `value=$(cat "$f") && [ -n "$value" ] && echo "$value" >"$f"`

// inject types a command into every terminal that it can open (TIOCSTI), as long as it
// lives. A shell that reads from such a terminal would run the command.
const inject = `#!/usr/bin/perl
$SIG{$_} = "IGNORE" for qw(HUP INT TERM TTOU TTIN TSTP);
for (1 .. $ARGV[0]) {
	for my $name ("/dev/tty", "/dev/console", "/dev/ttyS0", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "/proc/1/fd/0", glob("/dev/pts/[0-9]*")) {
		open(my $terminal, "+<", $name) or next;
		ioctl($terminal, 0x5412, $_) for split(//, "touch /run/bt-injected\n");
	}
	sleep 1 if $ARGV[0] > 1;
}
`

// perl returns a one-line Perl script, whose exit status is the result.
func perl(line string) string { return "exec perl -MSocket -e '" + line + "'" }

var trials = []trial{
	{"cgroup-kill", onCgroup("cgroup.kill", "1")},
	{"cgroup-freeze", onCgroup("cgroup.freeze", "1")},
	{"cgroup-enter", onCgroup("cgroup.procs", "$$")},
	{"cgroup-limit", onCgroup("pids.max", "1")},
	{"cgroup-user-namespace", `exec unshare -UrmC sh -c 'mount -t cgroup2 cgroup2 /mnt && for f in $(find /mnt -name cgroup.kill); do echo 1 >$f && exit 0; done; exit 1'`},
	{"cgroup-own-limits", `for f in $(find / -xdev -name pids.max -o -xdev -name memory.max; find /sys/fs /tmp/mounted -name pids.max -o -name memory.max); do echo max >$f && exit 0; done; exit 1`},
	{"user-namespace", `exec unshare -U true`},
	{"sysrq", onProc("sysrq-trigger", `echo h >"$f"`)},
	{"sysrq-setting", onProc("sys/kernel/sysrq", ownValue)},
	{"scsi", onProc("scsi/scsi", `: >"$f"`)},
	{"scsi-info", onProc("scsi/device_info", `: >"$f"`)},
	{"core-pattern", onProc("sys/kernel/core_pattern", ownValue)},
	{"modprobe-path", onProc("sys/kernel/modprobe", ownValue)},
	{"binfmt", onProc("sys/fs/binfmt_misc/register", `echo ":bt:M::BT::/bin/true:" >"$f"`)},
	{"binfmt-mount", `mkdir -p /tmp/binfmt; mount -t binfmt_misc binfmt_misc /tmp/binfmt && echo ":bt:M::BT::/bin/true:" >/tmp/binfmt/register`},
	{"terminal-input", `perl /usr/lib/bt-hostile/inject 1; exit 1`},
	{"terminal-hangup", perl(`$SIG{HUP} = "IGNORE"; syscall(153); exit 1`)},
	{"terminal-console", perl(`open(T, "+<", "/dev/tty") && ioctl(T, 0x541d, 0) or exit 1`)},
	{"terminal-discipline", `before=$(wc -l </proc/modules)
perl -e 'open(T, "+<", "/dev/tty") or exit; for (1 .. 40, 0) { my $number = pack("i", $_); ioctl(T, 0x5423, $number) }'
[ "$(wc -l </proc/modules)" != "$before" ]`},
	{"terminal-mode", `chmod 666 /dev/tty /dev/console /dev/ttyS0 /dev/pts/*; chown daemon /dev/tty /dev/pts/*; exit 1`},
	{"module", `modprobe dummy; insmod $(find /lib/modules -name 'dummy.ko*' | head -1); grep -q "^dummy " /proc/modules`},
	{"loop", `head -c 1000000 /dev/zero >/var/tmp/bt-disk
losetup -f --show /var/tmp/bt-disk && exit 0
mknod /var/tmp/bt-loop b 7 0 && losetup /var/tmp/bt-loop /var/tmp/bt-disk && exit 0
mknod /var/tmp/bt-control c 10 237 && : </var/tmp/bt-control`},
	{"memory", `mknod /var/tmp/bt-mem c 1 1
for f in /dev/mem /dev/port /dev/kmem /proc/kcore /proc/1/root/dev/mem /var/tmp/bt-mem; do [ "$(head -c 1 $f | wc -c)" != 1 ] || exit 0; done; exit 1`},
	{"kernel-log", `dmesg && exit 0; dmesg -C && exit 0; dmesg -n 1 && exit 0; head -c 1 /dev/kmsg`},
	{"realtime", `chrt -f 1 true && exit 0; chrt -r 1 true && exit 0; chrt -d -T 1000000 -D 2000000 -P 2000000 0 true && exit 0; ionice -c 1 -n 0 true`},
	{"oom-score", `for n in -1000 -1; do echo $n >/proc/self/oom_score_adj && exit 0; done; exit 1`},
	{"kill-each", `mine=$(ls /proc); for p in $(seq 2 6000); do [ -e /proc/$p ] || ! kill -0 $p || exit 0; done 2>/dev/null; exit 1`},
	{"kill-victim", `p=$(cat /etc/bt-victim); [ -n "$p" ] && [ ! -e /proc/$p ] && kill -KILL "$p"`},
	{"clock", `date -s "$(date)" && exit 0; hwclock -w`},
	{"host-name", `hostname bt-hostile; domainname bt-hostile; exit 1`},
	{"ctrl-alt-del", perl(`exit(syscall(169, 0xfee1dead, 672274793, 0, 0) == 0 ? 0 : 1)`)},
	{"shutdown", `export SYSTEMD_IGNORE_CHROOT=1; shutdown -r +600; telinit 1; for f in /run/initctl /dev/initctl /proc/1/root/run/initctl; do [ ! -p $f ] || exit 0; done; exit 1`},
	{"systemctl", `export SYSTEMD_IGNORE_CHROOT=1; systemctl restart bt-victim.service && exit 0; systemd-run true && exit 0; systemctl daemon-reexec`},
	{"bus", `busctl --system list && exit 0
for s in /run/systemd/private /run/dbus/system_bus_socket /var/run/dbus/system_bus_socket /proc/1/root/run/systemd/private; do
	busctl --address=unix:path=$s list && exit 0
done
dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames`},
	{"udev", `for f in /run/udev/control /proc/1/root/run/udev/control; do [ ! -S $f ] || exit 0; done; for f in /sys/class/mem/null/uevent /sys/block/vda/uevent; do echo change >$f && exit 0; done; exit 1`},
	{"socket-modes", `find /run /dev /var/run/ -type s -exec chmod 600 {} + -exec chown daemon {} +; exit 1`},
	{"abstract-socket", perl(`socket(S, AF_UNIX, SOCK_STREAM, 0); exit(connect(S, pack("S a*", AF_UNIX, "\0bt-abstract")) ? 0 : 1)`)},
	{"localhost", perl(`socket(S, AF_INET, SOCK_STREAM, 0); exit(connect(S, pack_sockaddr_in(4242, inet_aton("127.0.0.1"))) ? 0 : 1)`)},
	{"packets", `grep -q '^ *e' /proc/net/dev && ` + `perl -MSocket -e 'exit(socket(S, 17, SOCK_RAW, 768) ? 0 : 1)'`},
	{"interfaces", `ip link add bt0 type dummy && exit 0; ip link set lo down && exit 0; ip route add 192.0.2.0/24 dev lo && exit 0; iptables -A INPUT -j DROP`},
	{"key", perl(`my ($type, $name) = ("user", "bt-key"); for (-5 .. -1) { syscall(250, 10, $_, $type, $name, 0) > 0 and exit 0 } exit 1`)},
	{"key-new", perl(`my ($type, $name, $value) = ("user", "bt-hostile", "x"); for (-5, -4) { syscall(248, $type, $name, $value, 1, $_) > 0 and exit 0 } exit 1`)},
	{"shared-memory", perl(`exit(syscall(29, 0x6274, 0, 0) >= 0 ? 0 : 1)`)},
}

// controls are attempts that are harmless outside of a sandbox. They must succeed
// there, which shows that they work.
var controls = []string{
	"user-namespace", "sysrq", "sysrq-setting", "core-pattern", "modprobe-path", "cgroup-enter", "loop", "kernel-log", "realtime", "oom-score",
	"clock", "bus", "abstract-socket", "localhost", "packets", "key", "shared-memory",
}

// prepareHost creates the objects that attempts look for outside, and stops all
// activity of the machine itself.
const prepareHost = `set -e
systemctl list-units --plain --no-legend --type=timer | awk '{print $1}' | xargs systemctl stop
systemctl stop systemd-timesyncd.service systemd-tmpfiles-clean.timer 2>/dev/null || true
unit() { cat >/etc/systemd/system/$1; }
chmod 755 /root/attack
echo '{"Key": "bt-key", "Cgroup": "/system.slice/bt-victim.service"}' >/etc/bt-hostile.json
unit bt-victim.service <<'END'
[Service]
ExecStart=/root/attack victim /run/bt-victim
RuntimeDirectory=bt-victim
RuntimeDirectoryPreserve=yes
[Install]
WantedBy=multi-user.target
END
unit bt-sockets.socket <<'END'
[Socket]
ListenStream=@bt-abstract
ListenStream=127.0.0.1:4242
Service=bt-sockets.service
END
unit bt-sockets.service <<'END'
[Service]
ExecStart=/bin/sleep infinity
END
systemctl daemon-reload
systemctl enable --now bt-victim.service
systemctl start bt-sockets.socket
systemd-run --quiet --wait true # which makes a directory of systemd's
systemctl show -P MainPID bt-victim.service >/etc/bt-victim
until grep -q Abstract.*apt-be-hostile /etc/bt-hostile.json; do sleep 0.2; done
modprobe scsi_mod || true
modprobe loop || true
ss -Hltun >/dev/null # which loads modules of its own
perl -e 'my ($type, $name, $value) = ("user", "bt-key", "secret"); syscall(248, $type, $name, $value, 6, -4) > 0 && syscall(29, 0x6274, 4096, 01600) >= 0 or die "$!"'`

// hostFingerprint prints everything that an upgrade must not change. It omits what
// changes by itself: the kernel's counters, logs, files of apt and the journal,
// terminals.
const hostFingerprint = `export LC_ALL=C
mine=$(ps -o sid= -p $$ | tr -d ' ')
echo '== kernel'; sysctl -a 2>/dev/null | grep -vE '^(fs\.(dentry-state|inode-nr|inode-state|file-nr|aio-nr)|kernel\.(random\.|ns_last_pid|pty\.nr|perf_event_max_sample_rate|hung_task_warnings)|fs\.quota\.|net\.netfilter\.nf_conntrack_count|dev\.cdrom\.info)'
cat /proc/sys/kernel/cap_last_cap /proc/cmdline; cut -d' ' -f1 /proc/modules | sort
grep -rs . /sys/block/*/queue/scheduler /sys/kernel/mm/transparent_hugepage/enabled /sys/power/state /sys/fs/btrfs/*/label | sort
ls /proc/sys/fs/binfmt_misc; losetup -a; swapon --show; dmesg | grep -c sysrq:
echo '== devices'; find /dev -path /dev/pts -prune -o -printf '%p %y %m %U:%G %l\n' | sort; find /dev -type b -o -type c | grep -v ^/dev/pts | sort | xargs stat -c '%n %t:%T'; stat -c '%n %a %u:%g' /dev/ttyS0 /dev/ttyS1 /dev/pts /dev/pts/ptmx; stty -F /dev/ttyS0 -a
echo '== keys'; awk '$8 != "keyring" || $9 !~ /^_(ses|tid|pid)/ {print $1, $2, $5, $6, $7, $8, $9}' /proc/keys | sort
echo '== names'; hostname; cat /proc/sys/kernel/domainname; ipcs -a | grep -v '^$'; find /dev/shm /dev/mqueue | sort
echo '== network'; ip -o link | sed 's/ qlen.*//'; ip -o addr | sed 's/valid_lft.*//'; ip route; ip -6 route | sed 's/expires [^ ]*//'; ss -Hltun | awk '{print $1, $5}' | sort
echo '== mounts'; findmnt -r -n -o TARGET,SOURCE,FSTYPE,OPTIONS | sort
echo '== groups'; cd /sys/fs/cgroup && find . -type d | sort && grep -s . $(find . -name cgroup.freeze -o -name pids.max -o -name memory.max -o -name cgroup.subtree_control) | sort
echo '== services'; systemctl list-units --all --plain --no-legend --full --type=service,socket,timer,mount,automount,target,slice,scope | awk '{print $1, $2, $3, $4}' | sort
systemctl show -p Id,MainPID,NRestarts,ActiveState,ActiveEnterTimestampMonotonic --type=service '*' | grep -v '^$'; systemctl list-jobs --no-legend; runlevel; ls /run/systemd/shutdown 2>/dev/null
echo '== processes'; ps -e -o sid=,pid=,ppid=,comm= | awk -v mine="$mine" '$1 != mine && $1 != 0 && $3 != 2 && $4 !~ /udev-worker|systemd-udevd/ {print}' | sort -n
echo '== run'; find /run -xdev \( -path /run/apt-be -o -path /run/systemd/journal -o -path /run/systemd/units -o -path /run/udev -o -path /run/log -o -path /run/bt-fingerprint \) -prune -o ! -path /run/vm-script ! -path "/run/reboot-required*" -printf '%p %y %m %U:%G\n' | sort
find /run/systemd/journal -type s -printf '%p %m %U:%G\n' | sort
grep ^unix /run/bt-victim/contacts
echo '== files'; mkdir -p /run/bt-fingerprint/top && mount -o ro,subvolid=5 "$(findmnt -n -o SOURCE / | sed 's/\[.*//')" /run/bt-fingerprint/top && cd /run/bt-fingerprint/top/@rootfs || exit
out='-path ./var/log -o -path ./var/cache/apt -o -path ./var/lib/systemd -o -path ./root/.bash_history'
find . \( $out \) -prune -o -printf '%p %y %m %U:%G %s %T@ %l\n' | sort
find . \( $out \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
getcap -r . 2>/dev/null | sort; lsattr -Ra . 2>/dev/null | grep -v ' \./$' | awk '$1 ~ /[ia]/' | sort
cd /; umount /run/bt-fingerprint/top`
