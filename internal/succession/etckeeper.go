package succession

import (
	"fmt"
	"path"
	"strings"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/ui"
)

// etcRepositories are what etckeeper(8) may have in /etc.
var etcRepositories = []string{"etc/.git", "etc/.hg", "etc/.bzr", "etc/_darcs"}

// commitScript has etckeeper commit what was merged, with a message and the
// commit of the environment that is to be a parent, "" if there is none. Git makes a
// commit with more parents if it finds MERGE_HEAD. It has ended well if that commit
// is in the history, whatever etckeeper does besides, such as to push it. What was
// kept for that is garbage then.
const commitScript = `command -v etckeeper >/dev/null || exit 0
cd /etc || exit
if [ -z "$2" ]; then
	etckeeper commit "$1"
	exit
fi
command -v git >/dev/null || exit 0
end() { rm -f .git/MERGE_HEAD; }
trap end EXIT
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
`

// mostNamed is how many files a message names.
const mostNamed = 100

// commit has etckeeper commit in the environment what was merged there, if both
// systems have committed something. Without it the files are merged all the same, and
// so are the repositories.
func (w work) commit(found *drift.Drift) {
	for _, c := range found.Changes {
		if !mixed(c) {
			continue
		}
		message := w.message(found, c)
		exit, err := w.run("/usr/bin/timeout", []string{"timeout", longest, "/bin/sh", "-c", "{ " + commitScript + "} </dev/null >/dev/null", "sh", message, c.Tip})
		if err == nil && exit != (redirect.Exit{}) {
			err = fmt.Errorf("exit status %d", exit.Code)
		}
		if err != nil {
			w.Notice.Warn("etckeeper could not commit in %s what was merged: %v; apt-be run %s -- etckeeper commit does it.", w.Heir.Name, err, w.Heir.Name)
		}
	}
}

// mixed says whether a change is of a repository of etckeeper's in which both systems
// have committed something.
func mixed(c drift.Change) bool {
	for _, name := range etcRepositories {
		if c.Path == name {
			return c.Tip != "" || c.Aside && !c.Refused
		}
	}
	return false
}

// message says what was merged.
func (w work) message(found *drift.Drift, repository drift.Change) string {
	var m strings.Builder
	fmt.Fprintf(&m, "apt-be: merge %s into what %s was upgraded to\n\n", w.Live.Name, w.Heir.Name)
	if repository.Tip != "" {
		fmt.Fprintf(&m, "The history is that of %s; its other parent is %.12s, where %s was.\n", w.Live.Name, repository.Tip, w.Heir.Name)
	} else {
		fmt.Fprintf(&m, "The history is that of %s; %s.\n", w.Live.Name, repository.Note)
	}
	var lines []string
	for _, c := range found.Changes {
		if strings.HasPrefix(c.Path, "etc/") && c.Path != repository.Path && c.Fate() != drift.Left && c.Live.Kind != merge.Directory {
			lines = append(lines, fmt.Sprintf("%s /%s", c.Fate(), ui.Printable(path.Clean(c.Path))))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(&m, "What %s had changed since:\n\n", w.Live.Name)
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
