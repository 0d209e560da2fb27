package btrfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// dkmsMachine is a machine with the kernel of the release itself and a module that
// DKMS builds for it.
const dkmsMachine = "@modules"

// testModules upgrades the kernel of machines with a module that is built on
// them: it is built for the kernels that are installed, whatever runs.
func testModules(t *testing.T, l lab) {
	if !*nightly {
		return // what it needs has to be downloaded
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
update-grub
END
chmod 755 /etc/kernel/postinst.d/zz-bt-record`)
	for _, c := range []kernelCell{
		{name: "initramfs-tools"},
		{name: "dracut", prepare: "apt-get -qy --no-install-recommends install dracut initramfs-tools-"},
		{name: "a module that can't be built", broken: true,
			prepare: `for file in /usr/src/acpi-call-*/acpi_call.c; do echo '#error not for this kernel' >>"$file"; done`},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, l) })
	}
	l.Clear(t, plain, with)
}

// kernelCell is a machine on which a kernel is upgraded.
type kernelCell struct {
	name, prepare string
	broken        bool // the module can't be built
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
	found := kernelsOf(t, l, "@native")
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
	if c.broken {
		state = "failed"
	}
	envs := environments(t, m)
	if len(envs) != 1 || envs[0].State != state {
		t.Fatalf("boot environments %v, want one that is %s", envs, state)
	}
	got := kernelsOf(t, l, "@be/"+envs[0].Name)
	if !slices.Equal(got.releases, found.releases) {
		t.Errorf("kernels %q, without apt-be %q", got.releases, found.releases)
	}
	newest := got.releases[len(got.releases)-1]
	if len(got.releases) != 2 {
		t.Fatalf("kernels %q, want two", got.releases)
	}
	if !c.broken {
		checkModules(t, l, envs[0].Name, m, got)
		for _, line := range strings.Split(strings.TrimSpace(got.recorded), "\n") {
			if line != newest+" /boot/vmlinuz-"+newest+" "+newest {
				t.Errorf("a hook of the kernel was told %q", line)
			}
		}
		if !strings.Contains(result.Output, "apt-be: update-grub: the boot loader is left alone") {
			t.Error("nothing answered update-grub")
		}
	}
}

// kernels are those of a root, and what the test's hook was told.
type kernels struct {
	releases []string
	recorded string
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
	k.recorded = string(recorded)
	return k
}

// checkModules finds a module and an initrd of each kernel in the environment.
func checkModules(t *testing.T, l lab, name string, m *machine.Machine, k kernels) {
	t.Helper()
	for _, release := range k.releases {
		magic := inEnvironment(t, m, name, "modinfo -k "+release+" -F vermagic acpi_call")
		if !strings.HasPrefix(magic, release+" ") {
			t.Errorf("the module of %s is for %q", release, magic)
		}
		list := inEnvironment(t, m, name, "command -v lsinitramfs >/dev/null && lsinitramfs /boot/initrd.img-"+release+" || lsinitrd /boot/initrd.img-"+release)
		if !strings.Contains(list, "lib/modules/"+release+"/") {
			t.Errorf("the initrd of %s has no modules of it:\n%.2000s", release, list)
		}
	}
}

// inEnvironment runs a script in a boot environment and returns what it said.
func inEnvironment(t *testing.T, m *machine.Machine, name, script string) string {
	t.Helper()
	return strings.TrimSpace(m.Run(t, machine.Command{Args: []string{"apt-be", "run", name, "--", "sh", "-c", script}}).Output)
}
