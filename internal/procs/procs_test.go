package procs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnitOf(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/dovecot.service\n":                                      "dovecot.service",
		"0::/system.slice/system-getty.slice/getty@tty1.service\n":                "getty@tty1.service",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                        "session-3.scope",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/mail.service": "user@1000.service",
		"5:cpu:/x.service\n1:name=systemd:/system.slice/cron.service\n":           "cron.service",
		"0::/\n": "",
		"":       "",
	} {
		if got := unitOf(groups); got != want {
			t.Errorf("unitOf(%q) = %q, want %q", groups, got, want)
		}
	}
}

// Find finds a shell that uses files in each way, but not one that only reads.
func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		want   Use
	}{
		"writes":  {"exec 7>>file; echo ready; read x", Writes},
		"stands":  {"cd dir; echo ready; read x", Stands},
		"lists":   {"exec 7<dir; echo ready; read x", Lists},
		"reads":   {"exec 7<file; echo ready; read x", Reads},
		"serves":  {`exec perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Listen => 1, Local => "$ENV{PWD}/data/socket"); $| = 1; print "ready\n"; <STDIN>'`, Serves},
		"nothing": {"cd /; echo ready; read x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(dir+"/data/dir", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/data/file", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			// The shell itself works outside of the searched directory, except in the
			// case "stands".
			cmd := exec.Command("sh", "-c", strings.NewReplacer("file", "data/file", "cd dir", "cd data/dir", "<dir", "<data/dir").Replace(test.script))
			cmd.Dir = dir
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { stdin.Close(); cmd.Wait() }()
			if _, err := fmt.Fscanln(stdout, new(string)); err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if err := unix.Stat(dir+"/data", &st); err != nil {
				t.Fatal(err)
			}
			found, err := Find(func(f File) bool { return f.Device == st.Dev && strings.HasPrefix(f.Path, dir+"/data/") })
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].PID != cmd.Process.Pid || found[0].File.Use != test.want {
				t.Errorf("found %+v, want process %d with %q", found, cmd.Process.Pid, test.want)
			}
		})
	}
}
