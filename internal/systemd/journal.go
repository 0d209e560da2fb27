package systemd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
)

// SyncJournal makes journald write all messages to disk. Without journald it does
// nothing.
func SyncJournal(ctx context.Context) { tellJournal(ctx, "--sync") }

// LeaveJournal makes journald close its files on disk and keep later messages in memory
// (journalctl(1)). ReturnToJournal reverses it. Without journald it does nothing.
func LeaveJournal(ctx context.Context) { tellJournal(ctx, "--relinquish-var") }

// ReturnToJournal makes journald write the messages since LeaveJournal to disk.
func ReturnToJournal(ctx context.Context) { tellJournal(ctx, "--flush") }

func tellJournal(ctx context.Context, option string) {
	_ = exec.CommandContext(ctx, "journalctl", option).Run()
}

// ReadJournal copies the messages of one boot from a journal directory to out as text,
// at most limit bytes. complete is false if there are more. The directory may contain
// anything: journalctl gets only its descriptor.
func ReadJournal(ctx context.Context, dir *os.File, bootID string, out io.Writer, limit int64) (complete bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "journalctl", "--no-pager", "-q", "-D", "/proc/self/fd/3", "-o", "short-iso-precise",
		"_BOOT_ID="+strings.ReplaceAll(bootID, "-", ""))
	cmd.ExtraFiles = []*os.File{dir}
	text, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return false, err
	}
	n, copyErr := io.Copy(out, io.LimitReader(text, limit))
	if n == limit {
		cancel()
		_ = cmd.Wait() // it was killed
		return false, copyErr
	}
	return true, errors.Join(copyErr, cmd.Wait())
}
