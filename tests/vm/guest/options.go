package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// firmware is OVMF's code, of the package ovmf, for variables of the same size.
const firmware = "/usr/share/OVMF/OVMF_CODE_4M.fd"

// NoVariables has the EFI variables of a new machine, of the package ovmf.
const NoVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"

// Disk is the persistent state of a machine.
type Disk struct {
	File   string // the image
	Format string // of the image: "raw" or "qcow2"
	Vars   string // the file with the EFI variables; "" for a machine with a BIOS
}

// Overlay creates a disk in directory dir that stores changes, and otherwise equals d.
// While it is used, d must not change. If relative is set, the overlay refers to d by a
// relative name.
func (d Disk) Overlay(dir string, relative bool) (Disk, error) {
	overlay := Disk{File: filepath.Join(dir, "disk.qcow2"), Format: "qcow2"}
	below, err := filepath.Abs(d.File)
	if err == nil && relative {
		below, err = filepath.Rel(dir, below)
	}
	if err != nil {
		return Disk{}, fmt.Errorf("cannot make an overlay: %w", err)
	}
	create := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", d.Format, overlay.File)
	if out, err := create.CombinedOutput(); err != nil {
		return Disk{}, fmt.Errorf("cannot make an overlay: %w: %s", err, out)
	}
	if d.Vars != "" {
		overlay.Vars = filepath.Join(dir, "vars.fd")
		data, err := os.ReadFile(d.Vars)
		if err == nil {
			err = os.WriteFile(overlay.Vars, data, 0o644)
		}
		if err != nil {
			return Disk{}, fmt.Errorf("cannot copy the EFI variables: %w", err)
		}
	}
	return overlay, nil
}

// Options are the options of a machine. The zero value is valid.
type Options struct {
	Memory    int      // in MiB; 0 is 1024
	Ports     []int    // the machine's TCP ports that [Guest.Address] can reach
	Arguments []string // further ones for QEMU
}

// arguments returns QEMU's command line. File descriptors 3 and 4 are the
// second serial line's and the monitor's.
func arguments(disk Disk, options Options, ports map[int]int) []string {
	memory := options.Memory
	if memory == 0 {
		memory = 1024
	}
	network := "user,id=net"
	for guest, host := range ports {
		network += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", host, guest)
	}
	// QEMU 7.2 leaves a wrong flags register after cmpxchg16b, and an interrupt at that
	// moment crashes a kernel that uses it. Without a graphics card, firmware and
	// systemd-boot use the serial line. "unsafe" omits fsync(2) on the host, but not
	// the write(2) before it: data that the machine has flushed survives QEMU, but not
	// the host.
	args := []string{
		"-accel", "tcg,thread=multi", "-cpu", "Nehalem,-cx16", "-smp", "2", "-m", fmt.Sprint(memory),
		"-nodefaults", "-display", "none", "-vga", "none", "-serial", "stdio",
		"-chardev", "socket,id=agent,fd=3", "-serial", "chardev:agent",
		"-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control",
		"-drive", "file=" + disk.File + ",format=" + disk.Format + ",if=virtio,cache=unsafe",
		"-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=",
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
	}
	if disk.Vars != "" {
		args = append(args,
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+firmware,
			"-drive", "if=pflash,format=raw,unit=1,file="+disk.Vars)
	}
	return append(args, options.Arguments...)
}
