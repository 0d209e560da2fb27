package living

import (
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// listings are scripts that print the entries of a place, one per line, for the root at
// $root. For databases this must be the running root.
var listings = map[string]string{
	"mail":     `sed -n 's/^Message-Id: <\(.*\)@living>$/\1/p' $root/var/mail/alice`,
	"lines":    `cat $root/var/log/living.log*`,
	"syslog":   `sed -n 's/.* living: //p' $root/var/log/syslog*`,
	"journal":  `journalctl --directory=$root/var/log/journal --no-pager --output=cat --identifier=living`,
	"postgres": `psql -qAtX living -c 'select entry from entries order by length(entry), entry'`,
	"mariadb":  `mariadb --batch --skip-column-names living -e 'select entry from entries order by length(entry), entry'`,
}

// ranges replaces consecutive entries of a run by the first and the last number.
const ranges = `awk -F. '
	function show() { if (run != "") print run, first, last }
	$1 == run && $2 == last + 1 { last = $2; next }
	{ show(); run = $1; first = last = $2 }
	END { show() }'`

// Entries returns the entries of a place in the root that is mounted at root; "" is the
// running one. Besides [Places], the journal is a place.
func Entries(t guest.T, g *guest.Guest, place, root string) []string {
	t.Helper()
	var entries []string
	said := g.Shell(t, "set -e; root="+root+"; "+listings[place]+" >/tmp/entries; "+ranges+" /tmp/entries")
	for line := range strings.Lines(said) {
		var run, first, last int
		if _, err := fmt.Sscan(line, &run, &first, &last); err != nil {
			t.Fatalf("cannot read the entries of %s: %v in %q", place, err, line)
		}
		for number := first; number <= last; number++ {
			entries = append(entries, fmt.Sprintf("%d.%d", run, number))
		}
	}
	return entries
}

// Tally compares the found entries with the told ones.
type Tally struct {
	Found   int      // the number of different entries
	Missing []string // told, but not found
	Twice   []string // found more than once
}

// Count compares the told and the found entries.
func Count(told, found []string) Tally {
	times := map[string]int{}
	var tally Tally
	for _, entry := range found {
		times[entry]++
		if times[entry] == 2 {
			tally.Twice = append(tally.Twice, entry)
		}
	}
	tally.Found = len(times)
	for _, entry := range told {
		if times[entry] == 0 {
			tally.Missing = append(tally.Missing, entry)
		}
	}
	return tally
}
