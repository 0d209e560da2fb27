package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/dedupe"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

// dedupeJSON is the output of dedupe --json.
type dedupeJSON struct {
	Name string `json:"name"`
	dedupe.Report
}

func newDedupe(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "dedupe NAME",
		Short: "Share unchanged files of a boot environment with its origin",
		Long: `Make files of a boot environment share disk space with its origin if they were
written again unchanged. Upgrades do this automatically. Contents, times and owners
of files do not change.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.dedupe(cmd.Context(), args[0])
		},
	}
}

func (app *App) dedupe(ctx context.Context, name string) error {
	reg, done, err := app.registry()
	if err != nil {
		return err
	}
	defer done()
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	if e.Subvolume.ReadOnly {
		return fmt.Errorf("cannot share the files of %s: %w", name, store.ErrReadOnly)
	}
	base, err := reg.BaseOf(e)
	if errors.Is(err, be.ErrNotFound) {
		return fmt.Errorf("cannot share the files of %s: it has no base", name)
	}
	if err != nil {
		return err
	}
	if app.would("share the unchanged files of %s", name) {
		return nil
	}
	lock, err := app.use(ctx, reg, e)
	if err != nil {
		return err
	}
	defer lock.Release()
	progress, end := app.progress("comparing files")
	report, err := dedupe.Run(ctx, reg.Store().Path(base.Path), reg.Store().Path(e.Subvolume.Path), dedupe.Options{Progress: progress, Parts: be.PlacesOf(e.Record.Parts)})
	end()
	if err != nil {
		return err
	}
	if err := app.tellShared(name, report); err != nil {
		return err
	}
	if report.Failed.Files > 0 {
		return partly{fmt.Errorf("cannot share %d files; the first error: %s", report.Failed.Files, report.Failure)}
	}
	return nil
}

// tellShared prints the result of the pass.
func (app *App) tellShared(name string, r dedupe.Report) error {
	if app.options.JSON {
		return ui.JSON(app.Stdout, dedupeJSON{name, r})
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "RESULT", "FILES", "SIZE")
	for _, row := range []struct {
		result string
		count  dedupe.Count
	}{
		{"shared", r.Shared}, {"shared before", r.Already}, {"different", r.Differing},
		{"written in place", r.NoCOW}, {"inline", r.Inline}, {"changed meanwhile", r.Changed},
		{"unsupported", r.Unsupported}, {"failed", r.Failed},
	} {
		size := ui.Size(row.count.Bytes)
		if app.options.Plain {
			size = strconv.FormatInt(row.count.Bytes, 10)
		}
		if row.count != (dedupe.Count{}) || row.result == "shared" {
			table.Row(row.result, strconv.Itoa(row.count.Files), size)
		}
	}
	return table.Flush()
}

// progress returns a function that shows the progress on a terminal, at most ten times
// a second, and one that clears it. Without a terminal both do nothing.
func (app *App) progress(what string) (show func(done, total int), end func()) {
	terminal, ok := app.Stderr.(*os.File)
	if ok {
		_, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		ok = err == nil
	}
	if !ok || app.options.Quiet {
		return nil, func() {}
	}
	return progressOn(terminal, what, 100*time.Millisecond)
}

func progressOn(w io.Writer, what string, pause time.Duration) (show func(done, total int), end func()) {
	var last time.Time
	width := 0
	show = func(done, total int) {
		if done < total && time.Since(last) < pause {
			return
		}
		last = time.Now()
		line := fmt.Sprintf("apt-be: %s: %d of %d", what, done, total)
		width = max(width, len(line))
		fmt.Fprintf(w, "\r%-*s", width, line)
	}
	return show, func() {
		if width > 0 {
			fmt.Fprintf(w, "\r%*s\r", width, "")
		}
	}
}
