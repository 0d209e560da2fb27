package script

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/boottest"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/store"
)

// fullVar is the environment variable that fills the fake machine's disk.
const fullVar = "FULL_DISK"

func init() {
	if os.Getenv(fullVar) != "" {
		durable.Before = func(string) error { return syscall.ENOSPC }
	}
}

func loader() *boottest.Loader {
	return &boottest.Loader{Dir: filepath.Join(os.Getenv(storeVar), "loader")}
}

// attach is machine.Attach for the fake machine.
func attach(reg *be.Registry, _ string) (*activation.Activator, error) {
	if _, err := reg.Boot(); err != nil {
		return nil, err
	}
	return host.AttachLoader(reg, loader())
}

// setUp prepares the fake machine, as apt-be init prepares a real one.
func setUp(st store.Store) error {
	if err := os.Mkdir(loader().Dir, 0o755); err != nil {
		return err
	}
	reg := registry(st)
	release, err := reg.Lock(context.Background())
	if err != nil {
		return err
	}
	defer release()
	if err := reg.SetBoot(&be.Boot{Schema: be.BootSchema, Loader: be.LoaderGRUB}); err != nil {
		return err
	}
	act, err := attach(reg, "/")
	if err != nil {
		return err
	}
	e, err := reg.Running()
	if err != nil {
		return err
	}
	return act.SetDefault(e)
}

// bootIDFile contains the number of the boot.
const bootIDFile = "boots"

func bootID(next bool) (string, error) {
	file := filepath.Join(loader().Dir, bootIDFile)
	id, _ := os.ReadFile(file)
	if next {
		id = append(id, '+')
		if err := os.WriteFile(file, id, 0o644); err != nil {
			return "", err
		}
	}
	return "boot" + string(id), nil
}

// nonceFile contains the nonce of the booted trial.
const nonceFile = "nonce"

// booted is machine.Booted for the fake machine.
func booted() (nonce, id string, err error) {
	data, err := os.ReadFile(filepath.Join(loader().Dir, nonceFile))
	if err == nil {
		id, err = bootID(false)
	}
	return string(data), id, err
}

// runnable is a store in which a test sets the running subvolume.
type runnable interface {
	store.Store
	SetRunning(path string) error
}

// powerOn boots the loader's choice, or the picked entry ("--trial" picks the menu's
// entry of a trial), up to its init, and prints its name.
func powerOn(st runnable, picked []string) error {
	name, nonce, err := "", "", error(nil)
	if len(picked) > 0 && picked[0] == "--trial" {
		menu, err := loader().Menu()
		if err != nil {
			return err
		}
		name, nonce = menu.Trial.Entry.Name, menu.Trial.Nonce
	} else if len(picked) > 0 {
		name = picked[0]
	} else if name, nonce, err = loader().PowerOn(); err != nil {
		return err
	}
	e, err := registry(st).Get(name)
	if err != nil {
		return err
	}
	if err := st.SetRunning(e.Subvolume.Path); err != nil {
		return err
	}
	if _, err := bootID(true); err != nil {
		return err
	}
	fmt.Println(name)
	return os.WriteFile(filepath.Join(loader().Dir, nonceFile), []byte(nonce), 0o644)
}

// boot is powerOn, followed by the work of apt-be-boot.service.
func boot(st runnable, picked []string) error {
	if err := powerOn(st, picked); err != nil {
		return err
	}
	nonce, id, err := booted()
	if err != nil {
		return err
	}
	act, err := attach(registry(st), "/")
	if err == nil {
		_, err = act.Boot(nonce, id)
	}
	return err
}
