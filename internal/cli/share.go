package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/systemd"
	"github.com/apt-be/apt-be/internal/ui"
)

func newShare(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "share",
		Short: "Keep data that all boot environments share",
		Long: `Keep data that all boot environments share: mail, logs, spools, home directories,
databases. A share is a subvolume that each of them mounts, so a rollback does not
revert its data.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command \"share %s\"", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newShareAdd(app), newShareRemove(app), newShareList(app), newShareRestore(app))
	return cmd
}

// changeShares is change for operations that a signal, such as Ctrl-C, must undo
// instead of interrupting.
func (app *App) changeShares(ctx context.Context, do func(ctx context.Context, reg *be.Registry) error) error {
	var caught []os.Signal
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			caught = append(caught, sig)
		}
	}
	ctx, stop := signal.NotifyContext(ctx, caught...)
	defer stop()
	return app.change(ctx, func(reg *be.Registry) error { return do(ctx, reg) })
}

// journalDir is the directory of the journal, whose service cannot be stopped.
const journalDir = "/var/log/journal"

// withoutJournal makes the journal write to memory while the directory that contains it
// is moved.
func (app *App) withoutJournal(ctx context.Context, dir string, do func() error) error {
	if app.live() && !app.options.DryRun && strings.HasPrefix(journalDir+"/", dir+"/") {
		systemd.LeaveJournal(ctx)
		defer systemd.ReturnToJournal(context.WithoutCancel(ctx))
	}
	return do()
}

// withoutJournalIn is withoutJournal for a share, by name or mount point.
func (app *App) withoutJournalIn(ctx context.Context, what string, do func() error) error {
	found, err := app.shares.Find(what)
	if err != nil {
		return do() // it reports the error
	}
	return app.withoutJournal(ctx, found.Path, do)
}

// shareJSON is a share in --json. docs/json.md describes it.
type shareJSON struct {
	Name         string              `json:"name"`
	Path         string              `json:"path,omitempty"`
	Subvolume    string              `json:"subvolume"`
	Environments []string            `json:"environments"`
	Snapshots    []shareSnapshotJSON `json:"snapshots"`
}

// shareSnapshotJSON is a share snapshot.
type shareSnapshotJSON struct {
	Environment string    `json:"environment"`
	Taken       time.Time `json:"taken"`
	Subvolume   string    `json:"subvolume"`
}

func newShareList(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the shares",
		Long: `List the shares: the mount points, the boot environments that mount them, and the
share snapshots, which were taken when the machine left for a boot environment. A
share that no boot environment mounts is not deleted automatically.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return app.look(func(*be.Registry, []be.Env) error {
				shares, err := app.shares.List()
				if err != nil {
					return err
				}
				return app.printShares(shares)
			})
		},
	}
}

func (app *App) printShares(shares []share.Share) error {
	if app.options.JSON {
		list := make([]shareJSON, len(shares))
		for i, s := range shares {
			list[i] = shareToJSON(s)
		}
		return ui.JSON(app.Stdout, map[string]any{"shares": list})
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "NAME", "PATH", "ENVIRONMENTS", "SNAPSHOTS")
	for _, s := range shares {
		j := shareToJSON(s)
		mountedBy := strings.Join(j.Environments, ",")
		if mountedBy == "" && !app.options.Plain {
			mountedBy = "none: unused"
		}
		table.Row(j.Name, dash(j.Path), dash(mountedBy), strconv.Itoa(len(j.Snapshots)))
	}
	return table.Flush()
}

func shareToJSON(s share.Share) shareJSON {
	j := shareJSON{Name: s.Name, Path: s.Path, Subvolume: s.Subvolume.Path, Environments: []string{}, Snapshots: []shareSnapshotJSON{}}
	for _, m := range s.Mounts {
		j.Environments = append(j.Environments, m.Env.Name)
	}
	for _, p := range s.Snapshots {
		j.Snapshots = append(j.Snapshots, shareSnapshotJSON{p.Env.Name, p.Taken, p.Subvolume.Path})
	}
	return j
}
