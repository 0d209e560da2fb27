package setup

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/openat2"
	"github.com/apt-be/apt-be/internal/txn"
)

// The reasons why arguments of steps are out of bounds: see docs/recovery.md for all
// kinds.
const (
	noEnv     = "is not the place of a boot environment"
	noDevice  = "is not a device"
	noESP     = "is not the place of an EFI system partition"
	noGRUB    = "is not a command of grub-install"
	noFstab   = "is not a line that apt-be init adds"
	noMachine = "is not the description of a machine"
)

var (
	modePattern     = regexp.MustCompile(`^0[0-7]{3}$`)
	overridePattern = regexp.MustCompile(`^[#\w][^\s]* [#\w][^\s]* [0-7]{1,4}$`)
	typePattern     = regexp.MustCompile(`^[a-z0-9]+$`)
	targetPattern   = regexp.MustCompile(`^--target=[a-z0-9_]+-[a-z0-9]+$`)
	sourcePattern   = regexp.MustCompile(`^UUID=[0-9A-Za-z-]+$`)
)

// check is the check of a Handler.
type check = func(id string, a txn.Args) error

// bounds returns the checks of this package's steps, by their kinds.
func (i *Installer) bounds() map[string]check {
	return map[string]check{
		stepInitramfs:    none,
		stepGRUBDir:      only(inEnv, "subvolume"),
		stepCopyBoot:     i.checkBoot,
		stepFstab:        checkFstab,
		stepMount:        checkMount,
		stepSwitchBoot:   i.checkBoot,
		stepOverride:     checkOverride,
		stepLayout:       only(inEnv, "subvolume"),
		stepBoot:         checkBootNote,
		stepMenu:         checkMenu,
		stepGRUBConfig:   only(inEnv, "subvolume"),
		stepGRUBInstall:  i.checkGRUBInstall,
		stepLeaveBoot:    i.checkBoot,
		stepFillBoot:     i.checkBoot,
		stepStockEntries: only(inESP, "esp"),
		stepDone:         checkDone,
		stepPlainDir:     only(inEnv, "subvolume"),
		stepPlainConfig:  only(isFlag, "hidden"),
		stepForget:       checkBootNote,
	}
}

func none(_ string, a txn.Args) error { return a.Only() }

// only checks the value of the only argument.
func only(value func(string) error, key string) check {
	return func(_ string, a txn.Args) error {
		if err := value(a[key]); err != nil {
			return err
		}
		return a.Only(key)
	}
}

func inEnv(place string) error {
	if !be.IsEnvPlace(place) {
		return txn.OutOfBounds(place, noEnv)
	}
	return nil
}

func inESP(dir string) error {
	if name, ok := strings.CutPrefix(dir, "/"); !ok || !slices.Contains(espDirs[:], name) {
		return txn.OutOfBounds(dir, noESP)
	}
	return nil
}

func isFlag(value string) error {
	if value != "" && value != "yes" {
		return txn.OutOfBounds(value, "is unknown")
	}
	return nil
}

// isDevice reports whether a name is that of a device.
func (i *Installer) isDevice(name string) bool {
	below := strings.HasPrefix(name, "/dev/") || strings.HasPrefix(name, i.Host.Dev+"/")
	return below && path.Clean(name) == name
}

// checkBoot checks the arguments of bootArgs.
func (i *Installer) checkBoot(_ string, a txn.Args) error {
	switch {
	case !i.isDevice(a["source"]):
		return txn.OutOfBounds(a["source"], noDevice)
	case !typePattern.MatchString(a["type"]):
		return txn.OutOfBounds(a["type"], "is not a type of file systems")
	case a["esp"] != "" && (inESP(a["esp"]) != nil || !strings.HasPrefix(a["esp"], "/boot/")):
		return txn.OutOfBounds(a["esp"], noESP)
	case a["esp"] != "" && !i.isDevice(a["esp-source"]):
		return txn.OutOfBounds(a["esp-source"], noDevice)
	}
	if err := inEnv(a["subvolume"]); err != nil {
		return err
	}
	return a.Only("source", "type", "subvolume", "esp", "esp-source")
}

// checkFstab permits only lines for apt-be's own mount points.
func checkFstab(_ string, a txn.Args) error {
	var f Fstab
	if err := json.Unmarshal([]byte(a["fstab"]), &f); err != nil {
		return txn.OutOfBounds(a["fstab"], noFstab)
	}
	for _, line := range f.Lines {
		fields := strings.Fields(line)
		ours := len(fields) == 6 && sourcePattern.MatchString(fields[0]) && typePattern.MatchString(fields[2])
		if !ours || strings.ContainsFunc(line, unicode.IsControl) || fields[1] != HomeMount && fields[1] != "/boot/grub" {
			return txn.OutOfBounds(line, noFstab)
		}
	}
	for _, dir := range f.Replaced {
		if dir != "/boot" {
			return txn.OutOfBounds(dir, noFstab)
		}
	}
	if err := inEnv(a["subvolume"]); err != nil {
		return err
	}
	return a.Only("subvolume", "fstab")
}

func checkMount(_ string, a txn.Args) error {
	at := map[string]string{HomeMount: be.HomeDir, "/boot/grub": be.GRUBDir}
	if what, ok := at[a["dir"]]; !ok || what != a["subvolume"] {
		return txn.OutOfBounds(a["dir"], "is not a place for "+a["subvolume"])
	}
	return a.Only("dir", "subvolume")
}

func checkOverride(_ string, a txn.Args) error {
	dir, name := path.Split(a["path"])
	switch {
	case dir != "/etc/grub.d/" || !slices.Contains(generatorNames[:], name):
		return txn.OutOfBounds(a["path"], "is not a generator of GRUB's menu")
	case a["old"] != "" && !overridePattern.MatchString(a["old"]):
		return txn.OutOfBounds(a["old"], "is not a statoverride")
	case !modePattern.MatchString(a["mode"]):
		return txn.OutOfBounds(a["mode"], "is not the mode of a script")
	}
	if err := inEnv(a["subvolume"]); err != nil {
		return err
	}
	return a.Only("subvolume", "path", "old", "mode")
}

func checkMenu(_ string, a txn.Args) error {
	if a["default"] == "" || strings.ContainsFunc(a["default"], func(r rune) bool { return r == '/' || unicode.IsControl(r) }) {
		return txn.OutOfBounds(a["default"], "is not the name of a boot environment")
	}
	if strings.ContainsFunc(a["previous"], unicode.IsControl) {
		return txn.OutOfBounds(a["previous"], "is not an entry of a boot loader")
	}
	return a.Only("default", "previous")
}

// checkGRUBInstall permits only the commands that grubInstallStep creates.
func (i *Installer) checkGRUBInstall(_ string, a txn.Args) error {
	var commands [][]string
	if err := json.Unmarshal([]byte(a["commands"]), &commands); err != nil {
		return txn.OutOfBounds(a["commands"], noGRUB)
	}
	for _, command := range commands {
		bad := len(command) < 2 || command[0] != "grub-install" || !targetPattern.MatchString(command[1])
		for n := 2; n < len(command) && !bad; n++ {
			esp, isESP := strings.CutPrefix(command[n], "--efi-directory=")
			known := slices.Contains([]string{"--removable", "--force-extra-removable", "--no-nvram"}, command[n])
			bad = !known && !(isESP && inESP(esp) == nil) && !i.isDevice(command[n])
		}
		if bad {
			return txn.OutOfBounds(strings.Join(command, " "), noGRUB)
		}
	}
	return a.Only("commands")
}

func checkBootNote(_ string, a txn.Args) error {
	var b be.Boot
	err := json.Unmarshal([]byte(a["boot"]), &b)
	known := b.Loader == be.LoaderGRUB || b.Loader == be.LoaderSystemdBoot
	kernels := b.KernelDir == "" || b.KernelDir == "/boot/grub" || b.KernelDir == b.ESP
	if err != nil || b.Schema != be.BootSchema || !known || !kernels || b.ESP != "" && inESP(b.ESP) != nil {
		return txn.OutOfBounds(a["boot"], noMachine)
	}
	if err := inEnv(b.Origin); err != nil {
		return err
	}
	return a.Only("boot")
}

func checkDone(id string, a txn.Args) error {
	var done Done
	err := json.Unmarshal([]byte(a["done"]), &done)
	if err != nil || done.Schema != doneSchema || done.ID != id || a["id"] != id || done.Machine.Loader == "" {
		return txn.OutOfBounds(a["id"], noMachine)
	}
	return a.Only("id", "done")
}

// whilePrepared permits an undo only if the machine is set up, or only if it is not: a
// step of an interrupted init cannot belong to a machine that is set up, and the other
// way round.
func (i *Installer) whilePrepared(prepared bool, undo act) act {
	return func(ctx context.Context, a txn.Args) error {
		done, err := i.Done()
		switch {
		case err != nil:
			return err
		case prepared && done == nil:
			return fmt.Errorf("%w: the machine is not set up, but this is a step of an init --undo", be.ErrProtected)
		case !prepared && done != nil:
			return fmt.Errorf("%w: the machine is set up, but this is a step of another init", be.ErrProtected)
		}
		return undo(ctx, a)
	}
}

// in opens a directory of an environment, without following a link, and returns a name
// of it that stays valid until it is closed.
func (i *Installer) in(subvolume, dir string) (name string, done func(), err error) {
	top, err := os.Open(i.path("."))
	if err != nil {
		return "", nil, err
	}
	defer top.Close()
	fd, err := openat2.Open(int(top.Fd()), path.Join(subvolume, dir), unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: subvolume + "/" + dir, Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d/.", fd), func() { unix.Close(fd) }, nil
}
