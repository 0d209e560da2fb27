// Package health finds out whether the running system is healthy. It runs checks, which
// are programs in directories, and looks at the services.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Limit is the maximum time of a check.
const Limit = 2 * time.Minute

// Dirs returns the directories with checks: the administrator's, and the packages'. A
// file in the first replaces a file of the same name in the second.
func Dirs() []string { return []string{"/etc/apt-be/health.d", "/usr/lib/apt-be/health.d"} }

// Result is the result of a check.
type Result struct {
	Name   string
	OK     bool
	Reason string // the reason if it failed, in one line
}

// Run runs the checks of some directories in the order of their names. A file replaces
// one of the same name in a later directory. A check is an executable file. Its exit
// status is 0 if the system is healthy; otherwise its last line of output is the
// reason. Each check may take Limit. An empty file, a link to /dev/null, and a file
// that is not executable are switched off. The output goes to out.
func Run(ctx context.Context, dirs []string, out io.Writer) []Result {
	checks, err := find(dirs)
	if err != nil {
		return []Result{{Name: "checks", Reason: "cannot find the checks: " + err.Error()}}
	}
	var results []Result
	for _, check := range checks {
		result := run(ctx, check, Limit, out)
		if result.OK {
			fmt.Fprintf(out, "%s: ok\n", result.Name)
		} else {
			fmt.Fprintf(out, "%s: failed: %s\n", result.Name, result.Reason)
		}
		results = append(results, result)
	}
	return results
}

// find returns the paths of the checks.
func find(dirs []string) ([]string, error) {
	byName := map[string]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			name := entry.Name()
			if _, shadowed := byName[name]; !shadowed && !leftover(name) {
				byName[name] = filepath.Join(dir, name)
			}
		}
	}
	var checks []string
	for _, path := range byName {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 && info.Mode()&0o111 != 0 {
			checks = append(checks, path)
		}
	}
	slices.SortFunc(checks, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return checks, nil
}

// leftover reports whether a file name is one that editors, dpkg or merges leave
// behind.
func leftover(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		strings.Contains(name, ".dpkg-") || strings.Contains(name, ".ucf-") || strings.Contains(name, ".apt-be-")
}

// run runs a check for up to limit, and ends all its processes then.
func run(ctx context.Context, path string, limit time.Duration, out io.Writer) Result {
	result := Result{Name: filepath.Base(path)}
	if err := ctx.Err(); err != nil {
		result.Reason = "it did not run: " + err.Error()
		return result
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said := &tail{}
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = "/"
	cmd.Stdout = io.MultiWriter(out, said)
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	// A remaining process may hold its output open.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case cmd.ProcessState != nil && cmd.ProcessState.Success():
		result.OK = true
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.Reason = "it took too long"
	default:
		result.Reason = said.lastLine()
		if result.Reason == "" {
			result.Reason = err.Error()
		}
	}
	return result
}

// tail keeps the end of the text that is written to it.
type tail struct{ data []byte }

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	t.data = t.data[max(0, len(t.data)-tailSize):]
	return len(p), nil
}

// lastLine returns the last line that is not blank, shortened and printable, without
// apt-be's own prefix of errors.
func (t *tail) lastLine() string {
	const longest = 200
	lines := strings.Split(strings.TrimSpace(string(t.data)), "\n")
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, lines[len(lines)-1])
	line = strings.TrimPrefix(strings.TrimSpace(line), "apt-be: error: ")
	if runes := []rune(line); len(runes) > longest {
		line = string(runes[:longest]) + "…"
	}
	return line
}
