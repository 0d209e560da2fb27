package cli

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/internal/boot/sdboot"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/store"
)

// armed finds the environments that the boot menu names, as they are by now:
// somebody may have worked in them since.
func (app *App) armed(reg *be.Registry) ([]be.Env, error) {
	envs, err := reg.List()
	if err != nil {
		return nil, err
	}
	var armed []be.Env
	for _, e := range envs {
		if !e.Record.Armed {
			continue
		}
		e, err := reg.Identify(e)
		if err != nil {
			app.Log.Warn(err) // what is known of it will have to do
		}
		armed = append(armed, e)
	}
	return armed, nil
}

// setMenu makes envs the boot environments in the menu of the machine's loader.
func (app *App) setMenu(reg *be.Registry, envs []be.Env) (boot.Loader, error) {
	loader := app.loader()
	if loader == nil {
		return nil, fmt.Errorf("cannot change the boot menu: %w", errNoLoader)
	}
	running, err := reg.Running()
	if err != nil {
		return nil, err
	}
	if _, isGRUB := loader.(*grub.Loader); isGRUB && !running.Original() {
		return nil, fmt.Errorf("cannot change the boot menu: %w: GRUB reads it in the root that the installer made, which does not run now", be.ErrProtected)
	}
	st := reg.Store()
	uuid, ok := st.(interface{ FileSystemUUID() string })
	if !ok {
		return nil, fmt.Errorf("cannot change the boot menu: %w", store.ErrUnsupported)
	}
	commandLine, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's command line: %w", err)
	}
	var entries []boot.Entry
	seen := map[string]bool{}
	for _, e := range envs {
		if seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		kernel, ok := bootKernel(e)
		if !ok {
			app.Log.Warnf("the boot menu can't name %s any more: there is no kernel in it", e.Name)
			continue
		}
		entries = append(entries, boot.Entry{
			Name:          e.Name,
			Title:         e.Record.Title + " (" + e.Name + ")",
			FSUUID:        uuid.FileSystemUUID(),
			Subvolume:     e.Subvolume.Path,
			Kernel:        boot.InSubvolume(e.Subvolume.Path, kernel.Image),
			Initrd:        initrdOf(e, kernel),
			KernelVersion: kernel.Version,
			Options:       strings.TrimSpace(string(commandLine)),
		})
	}
	return loader, loader.SetEntries(entries, filesOf(st, entries))
}

// filesOf opens files of the environments that entries are for. A link in one
// is followed as that environment would, and so never out of it.
func filesOf(st store.Store, entries []boot.Entry) boot.Files {
	return func(path string) (io.ReadCloser, error) {
		for _, entry := range entries {
			file, ok := strings.CutPrefix(path, boot.InSubvolume(entry.Subvolume, ""))
			if ok {
				return inroot.Open(st.Path(entry.Subvolume), file)
			}
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
}

// bootKernel is the kernel of an environment that is booted first.
func bootKernel(e be.Env) (kernel be.Kernel, ok bool) {
	i := slices.IndexFunc(e.Record.Kernels, func(k be.Kernel) bool { return k.Image != "" })
	if i < 0 {
		return be.Kernel{}, false
	}
	return e.Record.Kernels[i], true
}

func initrdOf(e be.Env, kernel be.Kernel) string {
	if kernel.Initrd == "" {
		return ""
	}
	return boot.InSubvolume(e.Subvolume.Path, kernel.Initrd)
}

// loader finds the boot loader of the running root.
func (app *App) loader() boot.Loader {
	if l := sdboot.Find(app.options.Root); l != nil {
		return l
	}
	if l := grub.Find(app.options.Root); l != nil {
		return l
	}
	return nil
}
