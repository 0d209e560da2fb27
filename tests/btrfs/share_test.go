package btrfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// Making a directory a share and back changes no file and copies no data.
func TestShareAddAndRemove(t *testing.T) {
	l := newShareLab(t)
	mail := l.path("/var/mail")
	before := machine.FingerprintOf(t, mail)
	flagged := map[string]int{}
	for _, name := range []string{"database", "database/rows", "frozen", "al"} {
		flagged[name] = flagsOf(t, filepath.Join(mail, name))
	}
	used := l.used()
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(before, machine.FingerprintOf(t, mail)); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", what, diff)
		}
		for name, want := range flagged {
			if got := flagsOf(t, filepath.Join(mail, name)); got != want {
				t.Errorf("after %s %s has flags %#x, want %#x", what, name, got, want)
			}
		}
		var one, other unix.Stat_t
		storeMust(t, unix.Stat(filepath.Join(mail, "al"), &one))
		storeMust(t, unix.Stat(filepath.Join(mail, "deep/same"), &other))
		if one.Ino != other.Ino {
			t.Errorf("after %s hard links are two files", what)
		}
		if now := l.used(); now > used+4<<20 {
			t.Errorf("after %s %d bytes more are used", what, now-used)
		}
		if left := l.left(); len(left) > 0 {
			t.Errorf("after %s %q is left", what, left)
		}
	}
	storeMust(t, l.add())
	if !l.isMounted() || !l.fstabNames("@rootfs") || !l.fstabNames("@be/other") {
		t.Errorf("mounted: %v, in the fstabs: %v, %v", l.isMounted(), l.fstabNames("@rootfs"), l.fstabNames("@be/other"))
	}
	check("add")
	if names, err := os.ReadDir(l.store.Path("@rootfs/var/mail")); err != nil || len(names) > 0 {
		t.Errorf("below the share are %v, %v", names, err)
	}
	storeMust(t, l.remove())
	if l.isMounted() || l.fstabNames("@rootfs") || !l.fstabNames("@be/other") {
		t.Errorf("mounted: %v, in the fstabs: %v, %v", l.isMounted(), l.fstabNames("@rootfs"), l.fstabNames("@be/other"))
	}
	check("remove")
}

// used returns the used bytes of the file system.
func (l *shareLab) used() uint64 {
	l.Helper()
	storeMust(l.T, l.store.Sync())
	var st unix.Statfs_t
	storeMust(l.T, unix.Statfs(l.root, &st))
	return (st.Blocks - st.Bfree) * uint64(st.Bsize)
}

// sleeper is a process that runs a script and then waits.
func (l *shareLab) sleeper(script string) *exec.Cmd {
	l.Helper()
	cmd := exec.Command("sh", "-c", script+"; echo ready; read x")
	cmd.Dir = "/"
	stdin, err := cmd.StdinPipe()
	storeMust(l.T, err)
	stdout, err := cmd.StdoutPipe()
	storeMust(l.T, err)
	storeMust(l.T, cmd.Start())
	l.Cleanup(func() { stdin.Close(); cmd.Wait() })
	_, err = fmt.Fscanln(stdout, new(string))
	storeMust(l.T, err)
	return cmd
}

func TestShareOpenFiles(t *testing.T) {
	l := newShareLab(t)
	bound := t.TempDir()
	storeMust(t, unix.Mount(l.path("/var/mail/deep"), bound, "", unix.MS_BIND, ""))
	err := l.add()
	storeMust(t, unix.Unmount(bound, 0))
	if err == nil || !strings.Contains(err.Error(), "is also mounted at "+bound) {
		t.Errorf("while it is mounted elsewhere: %v", err)
	}
	refused := func(what string, err error, want ...string) {
		t.Helper()
		var refusal *share.Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("%s = %v, want that it is refused", what, err)
		}
		for _, text := range want {
			if !strings.Contains(refusal.Reason, text) {
				t.Errorf("%s is refused because of %q, want %q in it", what, refusal.Reason, text)
			}
		}
	}
	writer := l.sleeper("exec 7>>" + l.path("/var/mail/al"))
	refused("add", l.add(), "/var/mail/al (open for writing)", fmt.Sprintf("sh (process %d)", writer.Process.Pid))
	storeMust(t, writer.Process.Kill())
	writer.Wait()
	stander := l.sleeper("cd " + l.path("/var/mail/deep"))
	refused("add", l.add(), "/var/mail/deep (working directory)")
	if left := l.left(); len(left) > 0 || l.isMounted() {
		t.Errorf("%q is left; mounted: %v", left, l.isMounted())
	}
	storeMust(t, l.addBy(share.AddOptions{Path: "/var/mail", Name: "mail", OpenFiles: true}))
	storeMust(t, stander.Process.Kill())
	stander.Wait()

	// For unmounting, no process may even read there.
	reader := l.sleeper("exec 7<" + l.path("/var/mail/al"))
	refused("remove", l.remove(), "/var/mail/al (open)", fmt.Sprintf("%d", reader.Process.Pid))
	if !l.isMounted() || !l.fstabNames("@rootfs") {
		t.Error("it is no share any more")
	}
}

// A process that keeps appending either gets an error, or all its text exists.
func TestShareAddWhileProcessWrites(t *testing.T) {
	l := newShareLab(t)
	for _, pause := range []string{"0.001", "0.02", "0.3"} {
		storeMust(t, os.WriteFile(l.path("/var/mail/log"), nil, 0o644))
		// It counts its written lines, and prints the number when it is stopped.
		cmd := exec.Command("bash", "-c", `i=0; while ! read -t `+pause+` x; do echo $i >>"$1" && i=$((i+1)); done 2>/dev/null; echo $i`, "-", l.path("/var/mail/log"))
		stdin, err := cmd.StdinPipe()
		storeMust(t, err)
		var out bytes.Buffer
		cmd.Stdout = &out
		storeMust(t, cmd.Start())
		addErr := l.add()
		fmt.Fprintln(stdin, "stop")
		storeMust(t, cmd.Wait())
		var refusal *share.Refusal
		if addErr != nil && !errors.As(addErr, &refusal) {
			t.Errorf("add = %v", addErr)
		}
		if mounted := l.isMounted(); mounted != (addErr == nil) {
			t.Errorf("add = %v, and mounted: %v", addErr, mounted)
		}
		content, err := os.ReadFile(l.path("/var/mail/log"))
		storeMust(t, err)
		if got, want := strings.Count(string(content), "\n"), strings.TrimSpace(out.String()); fmt.Sprint(got) != want {
			t.Errorf("pause %s: there are %d lines, want %s (add = %v)", pause, got, want, addErr)
		}
		if addErr == nil {
			storeMust(t, l.remove())
			storeMust(t, l.locked(func() error { // the other environment keeps it
				shares, err := l.shares.List()
				if err == nil && len(shares) == 1 {
					err = os.WriteFile(l.store.Path("@be/other/etc/fstab"), []byte(shareFstab), 0o644)
				}
				return errors.Join(err, l.store.Delete("@share/mail"))
			}))
		}
		storeMust(t, os.Remove(l.path("/var/mail/log")))
		if left := l.left(); len(left) > 0 {
			t.Errorf("%q is left", left)
		}
	}
}

func TestShareRestore(t *testing.T) {
	l := newShareLab(t)
	before := machine.FingerprintOf(t, l.path("/var/mail"))
	storeMust(t, l.add())
	storeMust(t, l.keep())
	flags(t, l.path("/var/mail/frozen"), 0)
	for _, name := range []string{"al", "deep", "database", "frozen"} {
		storeMust(t, os.RemoveAll(l.path("/var/mail/"+name)))
	}
	storeMust(t, os.WriteFile(l.path("/var/mail/late"), nil, 0o600))
	storeMust(t, l.restoreBy(false))
	if diff := cmp.Diff(before, machine.FingerprintOf(t, l.path("/var/mail.other"))); diff != "" {
		t.Errorf("beside (-before +after):\n%s", diff)
	}
	flags(t, l.path("/var/mail.other/frozen"), 0)
	reader := l.sleeper("exec 7<" + l.path("/var/mail/late"))
	var refusal *share.Refusal
	if err := l.restore(); !errors.As(err, &refusal) {
		t.Errorf("while a file is open: %v", err)
	}
	storeMust(t, reader.Process.Kill())
	reader.Wait()
	storeMust(t, l.restore())
	if diff := cmp.Diff(before, machine.FingerprintOf(t, l.path("/var/mail"))); diff != "" || !l.isMounted() {
		t.Errorf("in place; mounted: %v (-before +after):\n%s", l.isMounted(), diff)
	}
	kept, err := filepath.Glob(l.store.Path("@share/mail-*/late"))
	if err != nil || len(kept) != 1 {
		t.Errorf("what was there is kept as %q, %v", kept, err)
	}
	// Destroying the environment destroys the snapshot.
	storeMust(t, l.locked(func() error {
		other, err := l.reg.Get("other")
		if err != nil {
			return err
		}
		return l.reg.Destroy(context.Background(), other)
	}))
	if all, err := l.store.List(be.ShareSnapshotDir); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, %v", all, err)
	}
	if left := l.left(); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}
