package be_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// forge appends a line to a journal. With sealed, the line has the right checksum.
func forge(t *testing.T, file, line string, sealed bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	check(t, err)
	if sealed {
		last, err := hex.DecodeString(string(text[len(text)-1-2*sha256.Size : len(text)-1]))
		check(t, err)
		sum := sha256.Sum256(append(last, line...))
		line += " " + hex.EncodeToString(sum[:])
	}
	check(t, os.WriteFile(file, append(text, line+"\n"...), 0o600))
}

func stepLine(kind string, args txn.Args) string {
	data, err := json.Marshal(map[string]any{"step": txn.Step{Kind: kind, Args: args}})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// victims is a machine with the subvolumes that a forged journal may name. It records
// their state before and after.
type victims struct {
	*fixture
	kept, plain be.Env
	build       *be.Build // the interrupted build
	file        string    // its journal
	mounted     string    // a mounted subvolume, or ""
}

func newVictims(t *testing.T) *victims {
	w := newFixture(t)
	v := &victims{fixture: w, kept: w.create("kept"), plain: w.create("plain")}
	check(t, w.locked(func() error { return w.reg.Change(v.kept, func(r *be.Record) { r.Kept = true }) }))
	v.kept = w.get("kept")
	check(t, w.store.Create("@share/mail"))
	check(t, w.store.Create("@be/.new-feed"))
	w.write("@apt-be/journal/feed.json", "not one of ours\n") // which keeps the subvolume
	for _, e := range []be.Env{v.kept, v.plain} {
		w.write(be.ScratchDir(e.Subvolume.UUID)+"/0/file", "x")
	}
	v.build = w.begin("cut-off")
	v.file = w.store.Path("@apt-be/journal/" + v.build.ID() + ".json")
	v.build.LockFile().Close()
	w.reg.Mounted = func(subvolume string) ([]string, error) {
		if subvolume == v.mounted {
			return []string{"/mnt"}, nil
		}
		return nil, nil
	}
	return v
}

// others returns the tree without the interrupted build.
func (v *victims) others() []string {
	return slices.DeleteFunc(v.tree(), func(line string) bool {
		return strings.Contains(line, v.build.ID()) || strings.Contains(line, v.build.Record.UUID)
	})
}

// TestForgedJournals appends lines that name other subvolumes to the journal of an
// interrupted build. With a wrong checksum, recovery undoes no step at all.
func TestForgedJournals(t *testing.T) {
	const stray = "11111111-2222-3333-4444-555555555555"
	snapshot := func(dst string) func(v *victims) txn.Step {
		return func(v *victims) txn.Step {
			return txn.Step{Kind: "snapshot", Args: txn.Args{"src": "@rootfs", "dst": dst}}
		}
	}
	args := func(kind string, a func(v *victims, id string) txn.Args) func(v *victims) txn.Step {
		return func(v *victims) txn.Step { return txn.Step{Kind: kind, Args: a(v, v.build.ID())} }
	}
	const notOfIt = "is not of this transaction"
	for name, tt := range map[string]struct {
		step func(v *victims) txn.Step
		says string
	}{
		// The running root, and other subvolumes.
		"snapshot @rootfs":    {snapshot("@rootfs"), `cannot recover with @apt-be/journal/FILE: line 5: the argument "@rootfs" of the step snapshot is not of this transaction`},
		"snapshot kept":       {snapshot("@be/kept"), notOfIt},
		"snapshot base":       {snapshot("@be-base/kept"), notOfIt},
		"snapshot top":        {snapshot("."), notOfIt},
		"snapshot dots":       {snapshot("@be/.new-x/../kept"), notOfIt},
		"snapshot absolute":   {snapshot("/etc"), notOfIt},
		"snapshot home":       {snapshot("@apt-be"), notOfIt},
		"snapshot share":      {snapshot("@share/mail"), notOfIt},
		"snapshot another":    {snapshot("@be/.new-feed"), notOfIt},
		"snapshot nothing":    {snapshot(""), notOfIt},
		"snapshot bad source": {args("snapshot", func(_ *victims, id string) txn.Args { return txn.Args{"src": "../x", "dst": "@be/.new-" + id} }), "is no place of a subvolume"},
		"snapshot bad parent": {args("snapshot", func(_ *victims, id string) txn.Args {
			return txn.Args{"src": "@rootfs", "dst": "@be/.new-" + id, "parent": "x"}
		}), "is not a UUID"},
		"snapshot further key": {args("snapshot", func(_ *victims, id string) txn.Args {
			return txn.Args{"src": "@rootfs", "dst": "@be/.new-" + id, "force": "yes"}
		}), "is unknown"},
		"snapshot nested": {args("snapshot", func(_ *victims, id string) txn.Args {
			return txn.Args{"src": "@rootfs", "dst": "@be/.new-" + id + "/var"}
		}), notOfIt},

		"rename to the root": {args("rename", func(v *victims, id string) txn.Args {
			return txn.Args{"uuid": v.get("rootfs").Subvolume.UUID, "from": "@be/.new-" + id, "to": "@rootfs"}
		}), notOfIt},
		"rename from the root": {args("rename", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@rootfs2", "to": "@be/kept"}
		}), notOfIt},
		"rename another's": {args("rename", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be/.new-feed2", "to": "@be/kept"}
		}), notOfIt},
		"rename away": {args("rename", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be-base/x", "to": "@be/kept"}
		}), notOfIt},
		"rename base away": {args("rename-base", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be-base/x", "to": "@be/kept"}
		}), notOfIt},
		"rename base of another": {args("rename-base", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Record.BaseUUID, "from": "@be-base/.new-feed", "to": "@be-base/kept"}
		}), notOfIt},
		"exchange bases": {args("exchange-base", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Record.BaseUUID, "from": "@be-base/plain", "to": "@be-base/kept"}
		}), notOfIt},
		"rename as no commit": {args("rename", func(v *victims, id string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be/.new-" + id, "to": "@be/kept"}
		}), `a step "rename" must end a transaction, and this one does not`},
		"exchange as no commit": {args("exchange", func(v *victims, id string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be/.new-" + id, "to": "@be/kept"}
		}), `a step "exchange" must end a transaction, and this one does not`},
		"rename down": {args("rename", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be/plain/kept", "to": "@be/kept"}
		}), notOfIt},
		"rename to garbage": {args("rename", func(v *victims, id string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be/x", "to": "@be/.new-" + id}
		}), notOfIt},
		"rename bad name": {args("rename", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "from": "@be/..", "to": "@be/kept"}
		}), notOfIt},
		"rename bad UUID": {args("rename", func(_ *victims, id string) txn.Args {
			return txn.Args{"uuid": "", "from": "@be/.new-" + id, "to": "@be/kept"}
		}), "is not a UUID"},

		"exchange from kept": {args("exchange", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.plain.Subvolume.UUID, "from": "@be/kept", "to": "@be/plain"}
		}), notOfIt},
		"exchange the root": {args("exchange", func(v *victims, id string) txn.Args {
			return txn.Args{"uuid": v.plain.Subvolume.UUID, "from": "@be/.new-" + id, "to": "@rootfs"}
		}), notOfIt},

		"files bad UUID": {args("files", func(v *victims, id string) txn.Args {
			return txn.Args{"from": "../../../../etc", "to": v.kept.Subvolume.UUID, "at": "@be/.new-" + id}
		}), "is not a UUID"},
		"files elsewhere": {args("files", func(v *victims, _ string) txn.Args {
			return txn.Args{"from": stray, "to": v.kept.Subvolume.UUID, "at": "@be/kept"}
		}), notOfIt},

		"record elsewhere": {args("record", func(v *victims, _ string) txn.Args {
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "at": "@be/kept"}
		}), notOfIt},
		"record bad UUID": {args("record", func(_ *victims, id string) txn.Args {
			return txn.Args{"uuid": "../boot", "at": "@be/.new-" + id}
		}), "is not a UUID"},
		"record of another": {args("record", func(v *victims, id string) txn.Args {
			old, _ := json.Marshal(v.build.Record)
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "at": "@be/.new-" + id, "old": string(old)}
		}), "is not the subvolume that its record is of"},
		"record of a whole one": {args("record", func(v *victims, id string) txn.Args {
			old, _ := json.Marshal(v.kept.Record)
			return txn.Args{"uuid": v.kept.Subvolume.UUID, "at": "@be/.new-" + id, "old": string(old)}
		}), "is not the subvolume that its record is of"},
		"unknown": {func(*victims) txn.Step { return txn.Step{Kind: "delete", Args: txn.Args{"dst": "@rootfs"}} }, `unknown step "delete"`},
	} {
		for sealed, says := range map[bool]string{false: "line 5: the checksum is wrong", true: tt.says} {
			if !sealed && !strings.HasPrefix(name, "snapshot @") {
				continue // the subvolume has no influence
			}
			t.Run(fmt.Sprintf("%s/%v", name, sealed), func(t *testing.T) {
				t.Parallel()
				v := newVictims(t)
				step := tt.step(v)
				forge(t, v.file, stepLine(step.Kind, step.Args), sealed)
				before := v.tree()
				v.recover()
				if after := v.tree(); !slices.Equal(before, after) {
					t.Errorf("it was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
				bad, err := v.reg.Unreadable()
				check(t, err)
				i := slices.IndexFunc(bad, func(e *be.UnreadableError) bool { return strings.Contains(e.Path, v.build.ID()) })
				says = strings.ReplaceAll(says, "FILE", v.build.ID()+".json")
				if i < 0 || !strings.Contains(bad[i].Error(), says) || !strings.Contains(bad[i].Remedy(), " away, its subvolumes stay as they are or become garbage") {
					t.Errorf("Unreadable = %v, want one that says %q", bad, says)
				}
				// Another journal is settled all the same.
				other := v.begin("other")
				other.LockFile().Close()
				v.recover()
				if _, err := v.store.Get(other.Path); err == nil {
					t.Error("another one is not settled")
				}
			})
		}
	}
}

// TestForgedJournalsInBounds forges steps whose arguments are within bounds. The state
// of the subvolumes shows that the steps must not be undone.
func TestForgedJournalsInBounds(t *testing.T) {
	const stray = "11111111-2222-3333-4444-555555555555"
	for name, tt := range map[string]struct {
		steps func(v *victims, id string) []txn.Step
		says  string
	}{
		"rename of a base": {func(v *victims, id string) []txn.Step {
			check(v.T, v.store.Delete("@be-base/.new-"+id))
			return []txn.Step{{Kind: "rename-base", Args: txn.Args{"uuid": v.kept.Record.BaseUUID, "from": "@be-base/.new-" + id, "to": "@be-base/kept"}}}
		}, "@be-base/kept is the base of kept"},
		"exchange of a base": {func(v *victims, id string) []txn.Step {
			return []txn.Step{{Kind: "exchange-base", Args: txn.Args{"uuid": v.plain.Record.BaseUUID, "from": "@be-base/.new-" + id, "to": "@be-base/plain"}}}
		}, "@be-base/plain is the base of plain"},
		"files": {func(v *victims, id string) []txn.Step {
			return []txn.Step{{Kind: "files", Args: txn.Args{"from": stray, "to": v.kept.Subvolume.UUID, "at": "@be/.new-" + id}}}
		}, "@be/kept is not under construction"},
		"record": {func(v *victims, id string) []txn.Step {
			return []txn.Step{{Kind: "record", Args: txn.Args{"uuid": v.kept.Subvolume.UUID, "at": "@be/.new-" + id}}}
		}, "@be/kept is not under construction"},
		"snapshot with another parent": {func(v *victims, id string) []txn.Step {
			check(v.T, v.store.Delete("@be/.new-"+id))
			check(v.T, v.store.Rename("@be/plain", "@be/.new-"+id))
			return nil
		}, "is not the subvolume that was created there"},
		"snapshot with the right parent": {func(v *victims, id string) []txn.Step {
			check(v.T, v.store.Delete("@be/.new-"+id))
			check(v.T, v.store.Rename("@be/plain", "@be/.new-"+id))
			return []txn.Step{{Kind: "snapshot", Args: txn.Args{"src": "@rootfs", "dst": "@be/.new-" + id, "parent": v.plain.Subvolume.ParentUUID}}}
		}, "belongs to a complete boot environment"},
		"snapshot that is mounted": {func(v *victims, id string) []txn.Step {
			v.mounted = "@be/.new-" + id
			return nil
		}, "is mounted at /mnt"},
		"snapshot that runs": {func(v *victims, id string) []txn.Step {
			check(v.T, v.store.SetRunning("@be/.new-"+id))
			return nil
		}, "is the running system"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictims(t)
			for _, step := range tt.steps(v, v.build.ID()) {
				forge(t, v.file, stepLine(step.Kind, step.Args), true)
			}
			before := v.others()
			check(t, v.locked(func() error {
				recovered, err := v.reg.Recover(ctx)
				if len(recovered) != 1 || recovered[0].Err == nil || !strings.Contains(recovered[0].Err.Error(), tt.says) {
					t.Errorf("Recover = %+v, want an error that says %q", recovered, tt.says)
				}
				return err
			}))
			if after := v.others(); !slices.Equal(before, after) {
				t.Errorf("it was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			for _, uuid := range []string{v.kept.Subvolume.UUID, v.plain.Subvolume.UUID} {
				if found, err := v.store.Nested("."); err != nil || !slices.ContainsFunc(found, func(s store.Subvolume) bool { return s.UUID == uuid }) {
					t.Errorf("%s is gone", uuid)
				}
			}
			if _, err := os.Lstat(v.file); err != nil {
				t.Errorf("the journal is gone: %v", err)
			}
		})
	}
}
