package upgrade

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/store"
)

// topLevelID is the ID of btrfs's top-level subvolume (btrfs-subvolume(8)).
const topLevelID = 5

// examineRoot reports whether the running root can be snapshotted. It returns nil if the
// root is in no store.
func (w *Wrapper) examineRoot() (frontend.StoreState, *Upgrader, error) {
	if err := host.CheckWritable(); err != nil {
		return frontend.NotBtrfs, nil, fmt.Errorf("cannot upgrade: %w", err)
	}
	u, err := w.Open()
	if errors.Is(err, store.ErrUnsupported) {
		return frontend.NotBtrfs, nil, nil
	}
	if err != nil {
		return frontend.NotBtrfs, nil, err
	}
	state, err := RootState(u.Registry, u.Root)
	if err != nil {
		u.Registry.Store().Close()
		return frontend.NotBtrfs, nil, err
	}
	return state, u, nil
}

// RootState reports whether the running root, which is mounted at the directory root and
// which a registry contains, can be snapshotted as a whole.
func RootState(reg *be.Registry, root string) (frontend.StoreState, error) {
	st := reg.Store()
	own, err := st.Locate(root)
	if err != nil {
		return frontend.NotBtrfs, err
	}
	if own.ID == topLevelID {
		return frontend.TopLevel, nil
	}
	dpkg, err := st.Locate(filepath.Join(root, "/var/lib/dpkg"))
	if errors.Is(err, store.ErrUnsupported) {
		return frontend.DpkgElsewhere, nil
	}
	nested := strings.HasPrefix(own.Path+"/var/lib/dpkg/", dpkg.Path+"/")
	if err != nil || dpkg.ID == own.ID || nested {
		return frontend.RootOK, err
	}
	running, err := reg.Running()
	if err != nil {
		return frontend.NotBtrfs, err
	}
	separate, err := parts.Of(reg, running)
	if !slices.ContainsFunc(separate, func(part be.Part) bool { return part.Subvolume == dpkg.Path }) {
		return frontend.DpkgElsewhere, err
	}
	return frontend.RootOK, err
}
