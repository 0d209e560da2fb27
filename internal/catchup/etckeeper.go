package catchup

import (
	"fmt"
	"path"
	"strings"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/ui"
)

// etcRepositories are the repositories that etckeeper(8) may have in /etc.
var etcRepositories = []string{"etc/.git", "etc/.hg", "etc/.bzr", "etc/_darcs"}

// commitScript makes etckeeper commit the merged files. Its arguments are a message,
// the target's commit as a second parent, and the directory with its history; "" if
// there is none. Git makes a merge commit if MERGE_HEAD exists. The script succeeds if
// the second parent is in the history, even if etckeeper fails in a later task, such as
// a push; then it deletes the kept history.
const commitScript = `command -v etckeeper >/dev/null || exit 0
cd /etc || exit
if [ -n "$2" ]; then
	command -v git >/dev/null || exit 0
	trap 'rm -f .git/MERGE_HEAD' EXIT
	trap 'exit 124' TERM INT
	git merge-base --is-ancestor "$2" HEAD || echo "$2" >.git/MERGE_HEAD
	etckeeper commit "$1"
	failed=$?
	git merge-base --is-ancestor "$2" HEAD || exit $((failed ? failed : 1))
	git for-each-ref --format='%(objectname) %(refname)' refs/apt-be | while read -r commit ref; do
		if git merge-base --is-ancestor "$commit" HEAD; then
			git update-ref -d "$ref" "$commit"
		fi
	done
elif [ -d "$3/.hg" ] && command -v hg >/dev/null; then
	other=$(hg -R "$3" log -r . -T '{node}') && hg pull -q "$3" && hg debugsetparents "$(hg log -r . -T '{node}')" "$other"
	etckeeper commit "$1" || exit
	if [ -n "$other" ] && [ -n "$(hg log -r "$other and ancestors(.)" -T '{node}')" ]; then
		rm -rf "$3"
	fi
else
	etckeeper commit "$1"
fi
`

// mostNamed is the maximum number of files in a message.
const mostNamed = 100

// commit makes etckeeper in the target commit the merged files, if both systems have
// committed. A failure leaves files and repositories merged.
func (w work) commit(found *drift.Drift) {
	for _, c := range found.Changes {
		if !mixed(c) {
			continue
		}
		message, kept := w.message(found, c), ""
		if c.Kept != "" {
			kept = "/" + c.Kept
		}
		exit, err := w.run("/usr/bin/timeout", []string{"timeout", longest, "/bin/sh", "-c", "{ " + commitScript + "} </dev/null >/dev/null", "sh", message, c.Tip, kept})
		if err == nil && exit != (inside.Exit{}) {
			err = fmt.Errorf("exit status %d", exit.Code)
		}
		if err != nil {
			w.Notice.Warn("etckeeper could not commit the merged files in %s: %v. To commit them, run apt-be run %s -- etckeeper commit", w.Target.Name, err, w.Target.Name)
		}
	}
}

// mixed reports whether a change is of an etckeeper repository in which both systems
// have committed.
func mixed(c drift.Change) bool {
	for _, name := range etcRepositories {
		if c.Path == name {
			return c.Tip != "" || c.KeepTarget && !c.Refused
		}
	}
	return false
}

// message returns the commit message with the merged files.
func (w work) message(found *drift.Drift, repository drift.Change) string {
	var m strings.Builder
	fmt.Fprintf(&m, "apt-be: merge %s into the upgrade %s\n\n", w.Source.Name, w.Target.Name)
	if repository.Tip != "" {
		fmt.Fprintf(&m, "The history is that of %s; its other parent is %.12s, where %s was.\n", w.Source.Name, repository.Tip, w.Target.Name)
	} else {
		fmt.Fprintf(&m, "The history is that of %s; %s.\n", w.Source.Name, repository.Note)
	}
	var lines []string
	for _, c := range found.Changes {
		if strings.HasPrefix(c.Path, "etc/") && c.Path != repository.Path && c.Outcome() != drift.Skipped && c.Running.Kind != merge.Directory {
			lines = append(lines, fmt.Sprintf("%s /%s", c.Outcome(), ui.Printable(path.Clean(c.Path))))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(&m, "Changes of %s:\n\n", w.Source.Name)
	}
	for i, line := range lines {
		if i == mostNamed {
			fmt.Fprintf(&m, "and %d more\n", len(lines)-i)
			break
		}
		fmt.Fprintln(&m, line)
	}
	return m.String()
}
