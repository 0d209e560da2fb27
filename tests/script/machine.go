// Package script runs the command line of apt-be by scripts, on a fake store: without
// root, btrfs and Debian.
package script

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// storeVar is the environment variable with the directory of the fake store.
const storeVar = "FAKE_STORE"

func openStore() (*fake.Store, error) {
	st, err := fake.New(os.Getenv(storeVar))
	if err != nil {
		return nil, fmt.Errorf("cannot open the store of the script: %w", err)
	}
	return st, nil
}

// changeMachine is the command by which scripts change the fake machine.
func changeMachine(args []string) {
	st, err := openStore()
	if err == nil {
		err = change(st, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "machine:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func change(st *fake.Store, args []string) error {
	usage := fmt.Errorf("cannot do %q", args)
	if len(args) == 0 {
		return usage
	}
	verb, args := args[0], args[1:]
	switch {
	case verb == "install" && len(args) <= 1: // [ROOT]: a machine that runs from @rootfs
		return install(st, args)
	case verb == "subvolume" && len(args) == 1:
		return st.Create(args[0])
	case verb == "install-as" && len(args) == 2: // SUBVOLUME ROOT: another system, created by hand
		if err := st.Create(args[0]); err != nil {
			return err
		}
		return os.CopyFS(st.Path(args[0]), os.DirFS(args[1]))
	case verb == "snapshot" && len(args) == 2: // FROM TO: a read-only snapshot, as another tool creates it
		return st.Snapshot(args[0], args[1], true)
	case verb == "running" && len(args) == 1:
		return st.SetRunning(args[0])
	case verb == "boot-menu" && len(args) == 0: // as apt-be init leaves it
		return setUp(st)
	case verb == "boot" && len(args) <= 1: // [NAME]: a reset, and the entry picked from the menu
		return boot(st, args)
	case verb == "power-on" && len(args) <= 1: // the same, up to init: apt-be boot is next
		return powerOn(st, args)
	case verb == "bless" && len(args) == 0: // the running environment is on trial, and healthy
		act, err := attach(registry(st), "/")
		if err == nil {
			_, err = act.Bless()
		}
		return err
	case verb == "busy" && len(args) == 1:
		return st.SetBusy(args[0], true)
	case verb == "damage" && len(args) <= 2 && len(args) > 0: // NAME [CONTENT]: damages its record; "FIFO" replaces it by a FIFO
		return damage(st, args[0], args[1:])
	case verb == "fail" && len(args) == 2: // NAME REASON: REASON is a Go string
		reason, err := strconv.Unquote(args[1])
		if err != nil {
			return err
		}
		e, err := registry(st).Get(args[0])
		if err != nil {
			return err
		}
		return registry(st).Change(e, func(r *be.Record) {
			r.State, r.Reason, r.HoldReason, r.Title, r.Origin = be.Failed, reason, reason, reason, reason
		})
	case verb == "without-kernel" && len(args) == 1: // NAME
		e, err := registry(st).Get(args[0])
		if err != nil {
			return err
		}
		return os.RemoveAll(st.Path(e.Subvolume.Path + "/boot"))
	case verb == "leave-for" && len(args) == 1: // NAME: the share snapshots of a departure
		reg := registry(st)
		e, err := reg.Get(args[0])
		if err != nil {
			return err
		}
		return share.New(reg, share.NoHost{}).Snapshot(context.Background(), e)
	case verb == "delete" && len(args) == 1:
		return st.Delete(args[0])
	case verb == "tree" && len(args) == 0:
		return tree(st)
	case verb == "record" && len(args) == 4: // NAME STATE MAKER AGE-IN-DAYS
		return record(st, args[0], be.State(args[1]), be.Creator(args[2]), args[3])
	case verb == "lock" && len(args) == 1: // READY: hold the lock until killed
		return hold(st, args[0])
	case verb == "use" && len(args) == 2: // NAME READY: like a shell in the environment
		return use(st, args[0], args[1])
	case verb == "wait-for" && len(args) == 1: // FILE
		for range 1000 {
			if _, err := os.Lstat(args[0]); err == nil {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
		return fmt.Errorf("cannot wait any longer for %s", args[0])
	case verb == "cut-off" && len(args) == 1: // NAME: an interrupted upgrade
		e, err := registry(st).Running()
		if err == nil {
			_, _, err = registry(st).Begin(context.Background(), be.BuildOptions{Name: args[0], Origin: e, CreatedBy: be.Redirect})
		}
		return err
	case verb == "forge" && len(args) == 1: // LINE: appends a line with a right checksum to the interrupted journal
		return forge(st, args[0])
	}
	return usage
}

func forge(st store.Store, line string) error {
	files, err := filepath.Glob(st.Path(be.HomeDir + "/journal/*.json"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("there is not one journal but %q: %w", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	last, err := hex.DecodeString(string(text[len(text)-1-2*sha256.Size : len(text)-1]))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append(last, line...))
	return os.WriteFile(files[0], append(text, line+" "+hex.EncodeToString(sum[:])+"\n"...), 0o600)
}

func damage(st store.Store, name string, content []string) error {
	e, err := registry(st).Get(name)
	if err != nil {
		return err
	}
	file := st.Path(be.HomeDir + "/be/" + e.Subvolume.UUID + ".json")
	text := strings.Join(append(content, "{")[:1], "")
	if text != "FIFO" {
		return os.WriteFile(file, []byte(text), 0o644)
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	return unix.Mkfifo(file, 0o600)
}

func registry(st store.Store) *be.Registry { return be.NewRegistry(st, "/", rootconf.Identify) }

func install(st *fake.Store, roots []string) error {
	if err := st.Create("@rootfs"); err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.CopyFS(st.Path("@rootfs"), os.DirFS(root)); err != nil {
			return err
		}
	}
	if len(roots) == 0 {
		if err := os.Mkdir(st.Path("@rootfs/etc"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(st.Path("@rootfs/etc/os-release"), []byte("PRETTY_NAME=Debian\n"), 0o644); err != nil {
			return err
		}
	}
	return st.SetRunning("@rootfs")
}

// tree prints all files, with the contents of the registry's files.
func tree(st *fake.Store) error {
	top := st.Path(".")
	return filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		content := []byte(nil)
		if entry.Type().IsRegular() && strings.HasPrefix(path, be.HomeDir+"/be/") {
			content, err = os.ReadFile(file)
		}
		fmt.Printf("%s %s\n", path, content)
		return err
	})
}

func record(st store.Store, name string, state be.State, maker be.Creator, days string) error {
	age, err := time.ParseDuration(days + "h")
	if err != nil {
		return err
	}
	reg := registry(st)
	e, err := reg.Get(name)
	if err != nil {
		return err
	}
	return reg.Change(e, func(r *be.Record) {
		r.State, r.CreatedBy = state, maker
		r.Created = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).Add(-24 * age)
		if state == be.Failed {
			r.Reason = "dpkg returned 1"
		}
	})
}

func hold(st store.Store, ready string) error {
	if _, err := registry(st).Lock(context.Background()); err != nil {
		return err
	}
	return wait(ready)
}

func use(st store.Store, name, ready string) error {
	e, err := registry(st).Get(name)
	if err != nil {
		return err
	}
	lock, err := registry(st).Use(context.Background(), e)
	if err != nil {
		return err
	}
	defer lock.Release()
	return wait(ready)
}

// wait creates a file as a signal, and waits to be killed.
func wait(ready string) error {
	if err := os.WriteFile(ready, nil, 0o644); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}
