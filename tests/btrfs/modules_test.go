package btrfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// dkmsMachine is a machine with the release's own kernel and a module that DKMS builds
// for it.
const dkmsMachine = "@modules"

// testModules upgrades the kernel of machines with such a module: DKMS builds it for
// the installed kernels, not for the running one.
func testModules(t *testing.T, l lab) {
	if !*nightly {
		return // its packages must be downloaded
	}
	l.prepare(t, dkmsMachine, `suite=$(. /etc/os-release; echo $VERSION_CODENAME)
apt-get -qy --no-install-recommends install linux-image-cloud-amd64/$suite linux-headers-cloud-amd64/$suite \
	initramfs-tools zstd busybox kmod dkms acpi-call-dkms
# What the upgrades of this test need, so that they need no network.
apt-get -qy --download-only dist-upgrade
apt-get -qy --download-only --no-install-recommends install dracut
mkdir -p /srv/cache; cp /var/cache/apt/archives/*.deb /srv/cache
cat >/etc/kernel/postinst.d/zz-bt-record <<'END'
#!/bin/sh
echo "$1 $2 $(uname -r)" >>/var/log/bt-kernels
! command -v update-grub >/dev/null || update-grub
END
chmod 755 /etc/kernel/postinst.d/zz-bt-record`)
	for _, c := range []kernelCell{
		{name: "initramfs-tools"},
		{name: "initramfs-tools, with what this machine needs", prepare: "sed -i 's/^MODULES=.*/MODULES=dep/' /etc/initramfs-tools/initramfs.conf"},
		{name: "dracut", prepare: "apt-get -qy --no-install-recommends install dracut initramfs-tools-"},
		{name: "a module that can't be built", broken: true,
			prepare: `for file in /usr/src/acpi-call-*/acpi_call.c; do echo '#error not for this kernel' >>"$file"; done`},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, l) })
	}
	l.Clear(t, plain, with)
}

// kernelCell is a machine with a kernel upgrade.
type kernelCell struct {
	name, prepare string
	broken        bool // the module cannot be built
}

func (c kernelCell) check(t *testing.T, l lab) {
	upgrade := machine.Command{
		Args: []string{"apt-get", "-y", "dist-upgrade"},
		Env:  []string{"DEBIAN_FRONTEND=noninteractive"},
	}
	begin := func(root string) *machine.Machine {
		m := l.Start(t, dkmsMachine, root)
		m.Shell(t, "export APT_BE_BYPASS=1; cp /srv/cache/*.deb /var/cache/apt/archives; "+c.prepare)
		return m
	}
	native := begin("@native")
	bypassing := upgrade
	bypassing.Env = append([]string{"APT_BE_BYPASS=1"}, upgrade.Env...)
	want := native.Run(t, bypassing)
	known := kernelsOf(t, l, "@native")
	newest := known.releases[len(known.releases)-1]
	if len(known.releases) != 2 {
		t.Fatalf("kernels %q, want two:\n%s", known.releases, want.Output)
	}
	var initrd string
	if !c.broken {
		initrd = native.Shell(t, listInitrd(newest))
	}
	native.Stop(t)

	m := begin(running)
	defer func() {
		m.Stop(t)
		l.Clear(t, plain, with, dkmsMachine)
	}()
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := m.Run(t, upgrade)
	t.Logf("without apt-be: status %d; with it: status %d, and\n%s", want.Status, result.Status, result.Output)
	if result.Status != want.Status {
		t.Errorf("status %d, without apt-be %d:\n%s", result.Status, want.Status, want.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	state := "ready"
	if want.Status != 0 {
		state = "failed"
	}
	envs := environments(t, m)
	if len(envs) != 1 || envs[0].State != state {
		t.Fatalf("boot environments %v, want one that is %s", envs, state)
	}
	got := kernelsOf(t, l, "@be/"+envs[0].Name)
	if diff := cmp.Diff(known, got, cmp.AllowUnexported(kernels{})); diff != "" {
		t.Errorf("kernels, and what a hook of theirs was told, without apt-be (-) and in the boot environment (+):\n%s", diff)
	}
	if c.broken {
		return
	}
	in := "apt-be run " + envs[0].Name + " -- "
	for _, release := range got.releases {
		if magic := m.Shell(t, in+"modinfo -k "+release+" -F vermagic acpi_call"); !strings.HasPrefix(magic, release+" ") {
			t.Errorf("the module of %s is for %q", release, magic)
		}
	}
	if diff := cmp.Diff(strings.Split(initrd, "\n"), strings.Split(m.Shell(t, in+"sh -c '"+listInitrd(newest)+"'"), "\n")); diff != "" {
		t.Errorf("the initrd of %s without apt-be (-) and in the boot environment (+):\n%s", newest, diff)
	}
	if !strings.Contains(result.Output, "apt-be: update-grub: the boot loader is left alone") {
		t.Error("nothing answered update-grub")
	}
}

// listInitrd is a script that lists the files in a kernel's initrd, without device
// nodes: dracut creates them only if it may, and a sandbox forbids it. They are not
// needed, because the kernel has the console in its own initramfs, and init mounts a
// devtmpfs.
func listInitrd(release string) string {
	file := "/boot/initrd.img-" + release
	return "if command -v lsinitramfs >/dev/null; then lsinitramfs " + file + "; else lsinitrd " + file +
		" | grep \"^[-dlcb][-rwxst]* \" | sed \"s/.* [0-9:]* //\"; fi | grep -v ^dev/ | sort"
}

// kernels returns the kernels of a root, and the arguments of the test's hook: a
// release, an image, and the output of uname(1).
type kernels struct {
	releases []string
	recorded []string
}

func kernelsOf(t *testing.T, l lab, subvolume string) kernels {
	t.Helper()
	images, err := filepath.Glob(l.Path(subvolume + "/boot/vmlinuz-*"))
	if err != nil {
		t.Fatal(err)
	}
	var k kernels
	for _, image := range images {
		k.releases = append(k.releases, strings.TrimPrefix(filepath.Base(image), "vmlinuz-"))
	}
	slices.Sort(k.releases)
	recorded, err := os.ReadFile(l.Path(subvolume + "/var/log/bt-kernels"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(recorded)), "\n") {
		words := strings.Fields(line)
		if len(words) != 3 {
			continue
		}
		if subvolume != "@native" && words[2] != words[0] {
			t.Errorf("a hook of kernel %s was told that %s runs", words[0], words[2])
		}
		k.recorded = append(k.recorded, words[0]+" "+words[1])
	}
	return k
}
