package share

import (
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/procs"
)

// refuseWriters refuses if processes have files of the directory, for which match
// returns true, open for writing.
func (s *Shares) refuseWriters(a *Addition, match func(procs.File) bool) error {
	if a.OpenFiles {
		return nil
	}
	device, err := deviceOf(s.store.Path(a.Running.Subvolume.Path + a.Path))
	if err != nil {
		return err
	}
	users, err := s.machine.Users(func(f procs.File) bool {
		return f.Use != procs.Reads && f.Device == device && match(f)
	})
	if err == nil && len(users) > 0 {
		refusal := inUse(users)
		err = refusal.hint("%s; or use --accept-risk %s, which loses later writes to these files", refusal.Hint, RiskOpenFiles)
	}
	return err
}

// inUse returns the refusal for processes that use a directory.
func inUse(users []procs.Process) *Refusal {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = fmt.Sprintf("%s (%s) by %s", user.File.Path, user.File.Use, user)
	}
	return refuse("files are in use there: %s", list(names)).hint("%s", stopping(users))
}

// stopping describes how to stop processes.
func stopping(users []procs.Process) string {
	var units []string
	others := false
	seen := map[string]bool{}
	for _, user := range users {
		if !strings.HasSuffix(user.Unit, ".service") {
			others = true
		} else if !seen[user.Unit] {
			seen[user.Unit] = true
			units = append(units, user.Unit)
		}
	}
	how := "end these processes"
	if len(units) > 0 {
		how = "systemctl stop " + strings.Join(units, " ")
		if others {
			how += ", and end the others"
		}
	}
	return how + ", and try again"
}

// RiskOpenFiles is the name of the risk of AddOptions.OpenFiles.
const RiskOpenFiles = "open-files"
