// Package vm_test boots real machines, in QEMU. That takes many minutes, so it
// does so only with -nightly.
package vm_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/tests/vm/guest"
)

var nightly = flag.Bool("nightly", false, "boot virtual machines; needs root and qemu-system-x86")

func TestMain(m *testing.M) {
	flag.Parse()
	if !*nightly {
		fmt.Println("tests/vm: no machine is booted: that is done nightly, by `go test ./tests/vm -nightly`")
	}
	os.Exit(m.Run())
}

// TestEntry checks, without a machine, what TestGRUB relies on: the entry of an
// environment shows its name, and boots its subvolume.
func TestEntry(t *testing.T) {
	menu, err := grub.CustomEntries(nil, []boot.Entry{{
		Name: name, Title: "Debian (" + name + ")", FSUUID: "1-2", Subvolume: "@be/" + name,
		Kernel: boot.InSubvolume("@be/"+name, "/boot/vmlinuz-1"), Options: "root=UUID=1-2 rootflags=subvol=@rootfs quiet",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(" + name + ")'", "linux /@be/" + name + "/boot/vmlinuz-1 root=UUID=1-2 ro rootflags=subvol=@be/" + name + " quiet\n"} {
		if !bytes.Contains(menu, []byte(want)) {
			t.Errorf("no %q in:\n%s", want, menu)
		}
	}
}

// start boots a machine that has just been installed.
func start(t *testing.T) *guest.Guest {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes loop devices and mounts: run it as root")
	}
	build := exec.Command("./build-disk")
	var messages bytes.Buffer
	build.Stderr = &messages
	out, err := build.Output()
	if err != nil {
		t.Fatalf("cannot build the disk: %v\n%s", err, messages.Bytes())
	}
	return guest.Start(t, strings.TrimSpace(string(out)))
}
