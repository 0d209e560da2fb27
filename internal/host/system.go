package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// System gives an upgrade that has ended access to the running system.
type System struct{}

// sending is the maximum time for passing on a message, which sendmail only queues.
const sending = 2 * time.Minute

// Sendmail passes a message to sendmail(8). The error is fs.ErrNotExist if it is not
// installed.
func (System) Sendmail(args []string, text []byte) error {
	return run(bytes.NewReader(text), "/usr/sbin/sendmail", args...)
}

// Users returns the logged-in users, as unattended-upgrade reads them: users(1).
func (System) Users() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sending)
	defer cancel()
	names, err := output(ctx, "users")
	return strings.Fields(names), err
}

// Shutdown reboots the machine at a time that shutdown(8) understands.
func (System) Shutdown(when string) error {
	return run(nil, "/sbin/shutdown", "-r", when)
}

func run(stdin io.Reader, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), sending)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	// A background process may keep its output open.
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said))
	}
	return nil
}
