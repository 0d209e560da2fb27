package setup

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/txn"
)

// The kinds of steps, with their arguments. "subvolume" is the path of an environment,
// or of the mounted subvolume, from the top level.
const (
	stepInitramfs    = "initramfs"
	stepGRUBDir      = "grub-dir"      // subvolume
	stepCopyBoot     = "copy-boot"     // the arguments of bootArgs
	stepFstab        = "fstab"         // subvolume, fstab: JSON
	stepMount        = "mount"         // dir, subvolume
	stepSwitchBoot   = "switch-boot"   // the arguments of bootArgs
	stepOverride     = "override"      // subvolume, path, old, mode
	stepLayout       = "layout"        // subvolume
	stepBoot         = "boot"          // boot: JSON
	stepMenu         = "menu"          // default, previous
	stepGRUBConfig   = "grub-config"   // subvolume
	stepGRUBInstall  = "grub-install"  // commands: JSON
	stepLeaveBoot    = "leave-boot"    // the arguments of bootArgs
	stepFillBoot     = "fill-boot"     // the arguments of bootArgs
	stepStockEntries = "stock-entries" // esp
	stepDone         = "done"          // id, done: JSON
	stepPlainDir     = "plain-dir"     // subvolume
	stepPlainConfig  = "plain-config"  // hidden
	stepForget       = "forget"        // boot: JSON
)

// act is a handler's function for a step's arguments.
type act = func(context.Context, txn.Args) error

func nothing(context.Context, txn.Args) error { return nil }

func (i *Installer) handlers() txn.Handlers {
	reversible := map[string][2]act{
		stepFstab:        {i.addFstab, i.removeFstab},
		stepMount:        {i.mount, i.unmount},
		stepSwitchBoot:   {i.switchBoot, i.switchBootBack},
		stepOverride:     {i.override, i.removeOverride},
		stepLayout:       {i.setLayout, i.unsetLayout},
		stepMenu:         {i.menu, i.removeMenu},
		stepGRUBInstall:  {i.grubInstall, i.grubInstallHidden},
		stepStockEntries: {i.moveStockEntries, i.restoreStockEntries},
	}
	preparing := map[string][2]act{
		// An initrd that can try environments is harmless without environments.
		stepInitramfs:  {i.initramfs, nothing},
		stepGRUBDir:    {i.makeGRUBDir, i.removeGRUBDir},
		stepCopyBoot:   {i.copyBoot, i.removeCopiedBoot},
		stepBoot:       {i.setBoot, i.unsetBoot},
		stepGRUBConfig: {i.grubConfig, i.restoreGRUBConfig},
	}
	removing := map[string][2]act{
		stepLeaveBoot:   {nothing, i.leaveBoot},
		stepFillBoot:    {i.fillBoot, i.fillBootBack},
		stepPlainDir:    {i.fillPlainDir, nothing}, // no program reads the files
		stepPlainConfig: {i.plainConfig, nothing},  // that menu also reads apt-be's
	}
	for kind, acts := range reversible {
		preparing[kind] = acts
		removing[takeBack+kind] = [2]act{acts[1], acts[0]}
	}
	bounds := i.bounds()
	all := txn.Handlers{
		stepDone: {
			Check: bounds[stepDone],
			Do:    func(_ context.Context, a txn.Args) error { return i.putDone(a["done"]) },
			Undo:  func(context.Context, txn.Args) error { return durable.Remove(i.path(doneFile)) },
			Happened: func(_ context.Context, a txn.Args) (bool, error) {
				done, err := i.Done()
				return done != nil && done.ID == a["id"], err
			},
		},
		stepForget: {
			Check: bounds[stepForget],
			Do:    i.unsetBoot,
			Undo:  i.setBoot,
			Happened: func(context.Context, txn.Args) (bool, error) {
				_, err := i.Registry.Boot()
				if errors.Is(err, be.ErrNotSetUp) {
					return true, nil
				}
				return false, err
			},
		},
	}
	for kind, acts := range preparing {
		all[kind] = txn.Handler{Check: bounds[kind], Do: acts[0], Undo: i.whilePrepared(false, acts[1])}
	}
	for kind, acts := range removing {
		all[kind] = txn.Handler{Check: bounds[strings.TrimPrefix(kind, takeBack)], Do: acts[0], Undo: i.whilePrepared(true, acts[1])}
	}
	return all
}

func (i *Installer) putDone(data string) error {
	return durable.WriteFile(i.path(doneFile), []byte(data+"\n"), 0o600)
}

func (i *Installer) setBoot(_ context.Context, a txn.Args) error {
	var boot be.Boot
	if err := json.Unmarshal([]byte(a["boot"]), &boot); err != nil {
		return err
	}
	return i.Registry.SetBoot(&boot)
}

func (i *Installer) unsetBoot(context.Context, txn.Args) error { return i.Registry.SetBoot(nil) }

func (i *Installer) menu(ctx context.Context, a txn.Args) error {
	boot, err := i.Registry.Boot()
	if err == nil {
		err = i.noteParameters(ctx, boot.Loader)
	}
	if err != nil {
		return err
	}
	if err := i.Menu(a["default"]); err != nil {
		return err
	}
	return i.store().Sync()
}

func (i *Installer) removeMenu(ctx context.Context, a txn.Args) error {
	boot, err := i.Registry.Boot()
	if errors.Is(err, be.ErrNotSetUp) {
		return nil // the menu's place is unknown
	}
	if err == nil && boot.Loader == be.LoaderGRUB && !boot.MenuInStore {
		err = i.keepEntries(ctx)
	}
	if err != nil {
		return err
	}
	if err := i.RemoveMenu(); err != nil || a["previous"] == "" {
		return err
	}
	return variables(i.Host).Set("LoaderEntryDefault", a["previous"])
}

// removeAll removes files durably. Missing files are no error.
func removeAll(files ...string) error {
	var errs []error
	for _, file := range files {
		if err := durable.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
