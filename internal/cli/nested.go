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

// nestedJSON is a subvolume in an environment that would be lost with it.
type nestedJSON struct {
	Path  string `json:"path"` // in the environment
	Bytes *int64 `json:"bytes,omitempty"`
}

// uniqueNested describes the subvolumes that would be lost with an environment, with
// what each holds that nobody else does, where that can be told.
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

// String names it for people, with its size.
func (n nestedJSON) String() string {
	if n.Bytes == nil {
		return n.Path
	}
	return fmt.Sprintf("%s (%s)", n.Path, ui.Size(*n.Bytes))
}

// checkNested returns an error that names them, unless the user accepts that they
// are lost.
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

// nestedHint is what to do about an environment that is not destroyed because of
// them.
func nestedHint(name string) string {
	return fmt.Sprintf("to save them, mount the boot environment with apt-be mount %s, and use btrfs send or btrfs subvolume snapshot; to delete them, too, run apt-be destroy --accept-risk %s %s",
		name, riskDeleteNested, name)
}
