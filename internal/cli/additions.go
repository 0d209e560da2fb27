package cli

import (
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/lifecycle"
)

// tellAdditions prints which files will be copied to other file systems, and which
// changes will not be applied.
func (app *App) tellAdditions(l *lifecycle.Lifecycle, e be.Env) error {
	layers, err := l.Layers(e)
	if err != nil {
		return err
	}
	for _, layer := range layers {
		found, err := layer.Find()
		if err != nil {
			return err
		}
		if n := len(found.Added); n > 0 {
			app.notice().Say("Files that the upgrade added to %s will be copied there when %s is booted: %s.", layer.Mount, e.Name, some(found.Added))
		}
		var reported []string
		for _, r := range found.Reported {
			reported = append(reported, fmt.Sprintf("%s (%s)", r.Path, r.Outcome))
		}
		if len(reported) > 0 {
			app.notice().Warn("Not applied to %s: %s.", layer.Mount, some(reported))
		}
	}
	return nil
}

// some returns a few of many names.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
