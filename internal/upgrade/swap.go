package upgrade

import (
	"fmt"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/swapfile"
	"github.com/apt-be/apt-be/internal/ui"
)

// GiveSwap creates swap files in a build, in the subvolumes that are empty because the
// origin swaps to a file in them. It returns sentences for the user about the result.
// An environment without a swap file boots all the same.
func GiveSwap(st store.Store, build *be.Build, origin string) (told []string) {
	for _, place := range build.Record.Emptied {
		from := st.Path(origin + place)
		names, only, err := swapfile.In(from)
		if err != nil {
			told = append(told, fmt.Sprintf("The subvolume %s contains a swap file, so it is empty in %s: %v.", place, build.Name, err))
			continue
		}
		if !only {
			told = append(told, fmt.Sprintf("The subvolume %s contains an active swap file, so the kernel makes no snapshot of it. Its other files are missing in %s. Move the swap file to a subvolume of its own.",
				place, build.Name))
		}
		for _, name := range names {
			file := filepath.Join(place, name)
			size, err := giveSwap(st, filepath.Join(from, name), st.Path(build.Path), file)
			if err != nil {
				told = append(told, fmt.Sprintf("The swap file %s was not created in %s: %v. When that environment runs, create it: btrfs filesystem mkswapfile --size %d %s",
					file, build.Name, err, size, file))
				continue
			}
			told = append(told, fmt.Sprintf("The swap file %s was not copied: %s has its own (%s).", file, build.Name, ui.Size(size)))
		}
	}
	return told
}

// giveSwap makes a swap file with the size and identity of another one, at a path
// inside root.
func giveSwap(st store.Store, like, root, file string) (size int64, err error) {
	if size, err = swapfile.Size(like); err != nil {
		return 0, err
	}
	free, err := st.Free()
	if err != nil {
		return size, err
	}
	if err := (diskspace.Estimate{Data: uint64(size)}).Check(free); err != nil {
		return size, err
	}
	dir, err := inroot.OpenDir(root, filepath.Dir(file))
	if err != nil {
		return size, err
	}
	defer dir.Close()
	return size, swapfile.Like(like, fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(file)))
}

// giveSwap calls GiveSwap for a build of the running system.
func (u *Upgrader) giveSwap(build *be.Build) {
	if len(build.Record.Emptied) == 0 {
		return
	}
	running, err := u.Registry.Running()
	if err != nil || running.Subvolume.UUID != build.Record.OriginUUID {
		return
	}
	for _, text := range GiveSwap(u.Registry.Store(), build, running.Subvolume.Path) {
		u.Notice.Say("%s", text)
	}
}
