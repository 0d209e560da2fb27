package cli

import (
	"fmt"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/ui"
)

// riskDeleteNested is the risk of deleting subvolumes that exist nowhere else.
const riskDeleteNested = "delete-nested"

// nestedJSON is a nested subvolume that exists nowhere else.
type nestedJSON struct {
	Path  string `json:"path"` // in the environment
	Bytes *int64 `json:"bytes,omitempty"`
}

// uniqueNested returns the nested subvolumes of an environment that exist nowhere else,
// with their exclusive usage if it is available.
func (app *App) uniqueNested(reg *be.Registry, e be.Env) ([]nestedJSON, error) {
	only, err := reg.UniqueNested(e)
	if err != nil || len(only) == 0 {
		return nil, err
	}
	sizes, _, err := reg.Exclusive(only)
	if err != nil {
		app.Log.Log(logrus.DebugLevel, err)
	}
	var found []nestedJSON
	for i, sub := range only {
		n := nestedJSON{Path: strings.TrimPrefix(sub.Path, e.Subvolume.Path)}
		if err == nil {
			bytes := int64(sizes[i])
			n.Bytes = &bytes
		}
		found = append(found, n)
	}
	return found, nil
}

// String returns the path and the size.
func (n nestedJSON) String() string {
	if n.Bytes == nil {
		return n.Path
	}
	return fmt.Sprintf("%s (%s)", n.Path, ui.Size(*n.Bytes))
}

// checkNested returns an error that names the subvolumes, unless the user accepts their
// loss.
func (app *App) checkNested(e be.Env, only []nestedJSON) error {
	if len(only) == 0 || app.accepts(riskDeleteNested) {
		return nil
	}
	lost := &be.NestedError{Name: e.Name}
	for _, n := range only {
		lost.Paths = append(lost.Paths, n.String())
	}
	return fmt.Errorf("cannot destroy %s: %w", e.Name, lost)
}

// nestedHint returns the remedy for that error.
func nestedHint(name string) string {
	return fmt.Sprintf("to save them, mount the boot environment with apt-be mount %s, and use btrfs send or btrfs subvolume snapshot; to delete them, too, run apt-be destroy --accept-risk %s %s",
		name, riskDeleteNested, name)
}
