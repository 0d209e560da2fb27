package vm_test

import (
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// kernelCopies is the file system with the copies of kernels, for boot loaders that do
// not read the kernels in a root.
var kernelCopies = map[string]string{"uefi-sdboot": "/boot/efi", "bios-boot-ext4": "/boot/grub"}

// checkFull fills the file system with the copies of kernels. Then no upgrade begins,
// no environment that needs another copy can be activated, and the existing copies stay
// unchanged.
func checkFull(t *testing.T, g *guest.Guest, l layout) {
	t.Helper()
	dir, ok := kernelCopies[l.recipe]
	if !ok {
		return
	}
	g.Shell(t, "apt-be create full && apt-be run full -- sh -c 'echo | tee -a /boot/initrd.img-*'")
	g.Shell(t, "! dd if=/dev/zero of="+dir+"/filled bs=64k status=none && sync")
	// index.json only avoids reading the copies again.
	list := "apt-be list -H; cd " + dir + " && find . -type f ! -name filled ! -name index.json -exec cksum {} +"
	before := g.Shell(t, list)
	result := g.Run(t, "apt-be activate full")
	if result.Status != 1 {
		t.Errorf("with a full %s, activate ends with %d", dir, result.Status)
	}
	// Its kernel exists already, for its entry in the menu: the menu itself has no
	// space.
	contains(t, "activate", result.Output, "apt-be: error: cannot", "no space left", "apt-be: hint: ")
	result = g.Run(t, "apt-be remove -y openssh-server")
	if result.Status == 0 {
		t.Errorf("with a full %s, an upgrade is begun", dir)
	}
	contains(t, "remove", result.Output, "cannot store another kernel and initrd on "+dir)
	if after := g.Shell(t, list); after != before {
		t.Errorf("there was\n%s\nand is\n%s", before, after)
	}
	g.Shell(t, "rm "+dir+"/filled && apt-be activate full && apt-be deactivate && apt-be destroy full")
}
