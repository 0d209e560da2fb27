package script

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/cli"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/store"
)

// Environment variables of a script that describe the fake machine.
const (
	mountedVar = "FAKE_MOUNTED"       // a file: the name of the environment that is mounted
	dpkgVar    = "FAKE_DPKG"          // a file: it exists while dpkg works
	configVar  = "FAKE_CONFIG"        // a file: apt's configuration, NAME=VALUE
	noSpaceVar = "FAKE_NO_ACCOUNTING" // set: the store cannot compute disk usage
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"apt-be":  aptBe,
		"machine": func() { changeMachine(os.Args[1:]) },
	})
}

func TestScripts(t *testing.T) { testscript.Run(t, parameters("testdata")) }

// parameters returns the parameters for the scripts of a directory, on a fake machine.
func parameters(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv(storeVar, env.WorkDir+"/store")
			env.Setenv(mountedVar, env.WorkDir+"/mounted")
			env.Setenv(dpkgVar, env.WorkDir+"/dpkg-at-work")
			env.Setenv(configVar, env.WorkDir+"/apt-config")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	}
}

// exits checks the exit status of a command: "exits STATUS COMMAND...".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("the exit status is %d, want %d", got, want)
	}
}

// aptBe is the command apt-be on the fake machine.
func aptBe() {
	log := logrus.New()
	log.SetOutput(os.Stderr)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	log.SetLevel(logrus.WarnLevel)
	app := &cli.App{
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Log:     log,
		Version: "test",
		Attach:  attach,
		Arming: func(_ context.Context, method be.Method, deadline time.Duration) (activation.ArmOptions, error) {
			id, err := bootID(false)
			return activation.ArmOptions{Method: method, Deadline: deadline, BootID: id}, err
		},
		Booted: booted,
		OpenStore: func(string) (store.Store, error) {
			st, err := openStore()
			if os.Getenv(noSpaceVar) != "" {
				return struct{ store.Store }{st}, err
			}
			return st, err
		},
		Mounted: func(_ store.Store, e be.Env) []string {
			if name, err := os.ReadFile(os.Getenv(mountedVar)); err == nil && string(name) == e.Name+"\n" {
				return []string{"/mnt"}
			}
			return nil
		},
		ReadConfig: func(context.Context, aptconf.Query) (aptconf.Config, error) {
			dump, err := os.ReadFile(os.Getenv(configVar))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return aptconf.Config{}, err
			}
			return aptconf.Parse(dump)
		},
		LockDpkg: func(string) (func(), error) {
			if _, err := os.Lstat(os.Getenv(dpkgVar)); err == nil {
				return nil, &dpkglock.BusyError{File: "/var/lib/dpkg/lock", PID: 4711, Command: "dpkg"}
			}
			return func() {}, nil
		},
	}
	cli.Main(context.Background(), app, os.Args[1:]).Die()
}
