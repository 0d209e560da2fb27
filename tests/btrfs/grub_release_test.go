package btrfs_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

var nightly = flag.Bool("nightly", false, "also what takes long: every release upgrade with a boot loader, the patched dpkg")

// grubKind is a kind of GRUB installation.
type grubKind struct {
	packages []string
	// install is the state of a machine after GRUB's setup, besides the packages.
	// DEVICE is the disk. The menu is not from grub-mkconfig, which needs more
	// information about the disk than a loop device has.
	install string
	// esp means that /boot/efi is a separate file system.
	esp bool
	// calls are the stand-ins that the maintainer scripts call.
	calls []string
	cells []grubCell
}

// grubCell is debconf's knowledge of GRUB's device.
type grubCell struct {
	name    string
	answers string // for debconf-set-selections(1); DEVICE is the disk
	nightly bool   // and in no other run
}

func grubs() []grubKind {
	return []grubKind{
		{
			packages: []string{"grub-pc"},
			// Without partitions, only the embedded core image is missing.
			install: `grub-install --target=i386-pc --no-floppy --grub-setup=/bin/true DEVICE
dd if=/boot/grub/i386-pc/boot.img of=DEVICE bs=440 count=1 conv=fsync`,
			cells: []grubCell{
				// grub-pc's postinst fails if no user can answer.
				{name: "no device recorded"},
				{name: "recorded device gone", answers: "grub-pc grub-pc/install_devices multiselect /dev/disk/by-id/ata-gone", nightly: true},
				{name: "preseeded", answers: "grub-pc grub-pc/install_devices multiselect DEVICE", nightly: true},
			},
		},
		{
			packages: []string{"grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed"},
			install: `mkdir -p /boot/grub/x86_64-efi /srv/esp/EFI/debian
grub-mkimage -O x86_64-efi -p /boot/grub -o /boot/grub/x86_64-efi/core.efi btrfs part_gpt normal
cp /boot/grub/x86_64-efi/core.efi /srv/esp/EFI/debian/grubx64.efi
mkdir /boot/efi`,
			esp:   true,
			calls: []string{"grub-install"},
			cells: []grubCell{
				{name: "nothing recorded", nightly: true},
				{name: "preseeded", answers: `grub-efi-amd64 grub2/force_efi_extra_removable boolean true
grub-efi-amd64 grub2/update_nvram boolean false`, nightly: true},
			},
		},
	}
}

// testReleaseGrub upgrades machines with GRUB to the next release of Debian, without a
// user: all packages are configured, and no boot loader is written.
func testReleaseGrub(t *testing.T, l lab) {
	if l.Recipe != "oldstable" {
		return // there is no newer release
	}
	l = l.withArchives()
	before, after := l.sources(t, "OLDSTABLE"), l.sources(t, "STABLE")
	for _, g := range grubs() {
		cells := slices.DeleteFunc(g.cells, func(c grubCell) bool { return c.nightly && !*nightly })
		if len(cells) == 0 {
			continue
		}
		t.Run(g.packages[0], func(t *testing.T) {
			const prepared = "@prepared"
			m := l.Start(t, with, prepared)
			defer l.done(t, m)
			m.WriteFile(t, "/etc/apt/sources.list", before)
			m.Shell(t, "export APT_BE_BYPASS=1 DEBIAN_FRONTEND=noninteractive; apt-get -q update; apt-get -qy --no-install-recommends install "+strings.Join(g.packages, " "))
			m.Shell(t, l.onDisk(g.install)+"\necho '# a menu' >/boot/grub/grub.cfg")
			m.WriteFile(t, "/etc/apt/sources.list", after)
			m.Shell(t, "apt-get -q update")
			m.Stop(t)
			for _, c := range cells {
				t.Run(c.name, func(t *testing.T) { g.upgrade(t, l, prepared, c) })
			}
		})
	}
}

// onDisk replaces DEVICE in a text.
func (l lab) onDisk(text string) string {
	return strings.ReplaceAll(text, "DEVICE", l.Device())
}

// upgrade upgrades a machine of the template to the next release.
func (g grubKind) upgrade(t *testing.T, l lab, template string, c grubCell) {
	m := l.Start(t, template, running)
	defer func() {
		m.Stop(t)
		l.Clear(t, plain, with, template)
	}()
	if g.esp {
		m.Shell(t, "mount --bind /srv/esp /boot/efi")
	}
	m.Shell(t, "debconf-set-selections <<'END'\n"+l.onDisk(c.answers)+"\nEND")
	recorded := g.recorded(t, m, "")
	mounts, before, loader := m.Mounts(t), m.Fingerprint(t), l.outside(t)

	result := m.Run(t, machine.Command{
		Args: []string{"apt-get", "-y", "dist-upgrade"},
		Env:  []string{"DEBIAN_FRONTEND=noninteractive"},
	})
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	for _, line := range strings.Split(result.Output, "\n") {
		if strings.HasPrefix(line, "apt-be: ") {
			t.Log(line)
		}
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	if !bytes.Equal(loader, l.outside(t)) {
		t.Errorf("the boot loader on the disk has been written")
	}
	for _, name := range g.calls {
		if !strings.Contains(result.Output, "apt-be: "+name+": the boot loader is left alone") {
			t.Errorf("nothing ran the stand-in of %s:\n%s", name, result.Output)
		}
	}
	found := environments(t, m)
	if len(found) != 1 || found[0].State != "ready" {
		t.Fatalf("boot environments %v, want one that is ready", found)
	}
	in := "apt-be run " + found[0].Name + " -- "
	if audit := m.Shell(t, in+"dpkg --audit"); audit != "" {
		t.Errorf("dpkg --audit:\n%s", audit)
	}
	query := `dpkg-query -W -f '${Package}: ${Status} ${Version}\n' ` + strings.Join(g.packages, " ")
	older := strings.Split(m.Shell(t, query), "\n")
	for i, line := range strings.Split(m.Shell(t, in+query), "\n") {
		if line != "" && (!strings.Contains(line, ": install ok installed ") || line == older[i]) {
			t.Errorf("%q, before the upgrade %q", line, older[i])
		}
	}
	if now := g.recorded(t, m, in); now != recorded {
		t.Errorf("debconf has recorded\n%s\nbefore the upgrade\n%s", now, recorded)
	}
	// Files added to the EFI system partition are kept for the commit.
	added, err := filepath.Glob(l.Path("@apt-be/scratch/*/*/upper/*"))
	if err != nil || len(added) > 0 {
		t.Errorf("the maintainer scripts added %q to other file systems, %v", added, err)
	}
}

// recorded returns debconf's record of GRUB's device, in the machine, or in another
// root with a command prefix.
func (g grubKind) recorded(t *testing.T, m *machine.Machine, in string) string {
	t.Helper()
	return m.Shell(t, in+"debconf-show "+g.packages[0]+
		" | grep -e grub-pc/install_devices -e grub2/force_efi_extra_removable -e grub2/update_nvram | sort")
}

// outside returns the disk's area before the file system, where boot loaders are: the
// first MiB without the superblock, which is 4 KiB at 64 KiB (btrfs(5)).
func (l lab) outside(t *testing.T) []byte {
	t.Helper()
	disk, err := os.Open(l.Device())
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	reserved := make([]byte, 1<<20)
	if _, err := disk.ReadAt(reserved, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Delete(reserved, 64<<10, 68<<10)
}
