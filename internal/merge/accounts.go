package merge

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// AccountFiles are the files that are merged together, as paths below the root.
var AccountFiles = []string{
	"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid",
}

// Accounts maps the paths of AccountFiles to their contents. A missing file is not in
// the map.
type Accounts map[string][]byte

// Renumbering is an account of the target that gets another number, because the running
// system has given its number to another account, or knows the account under another
// number. Its files in the target get the new number, too.
type Renumbering struct {
	Name     string
	Group    bool // the number is a GID, otherwise a UID
	From, To uint32
}

func (r Renumbering) String() string {
	kind := "uid"
	if r.Group {
		kind = "gid"
	}
	return fmt.Sprintf("%s %d of %s becomes %d", kind, r.From, r.Name, r.To)
}

// MergeAccounts merges the account files. Numbers of the running system stay, because
// carried files have them. A file that the running system lacks is taken from the
// target. It fails if the running system has no root account, for example because its
// passwd file was truncated: no one could log in.
func MergeAccounts(base, running, target Accounts) (merged Accounts, renumbered []Renumbering, conflicts []Conflict, err error) {
	if err := running.checkRoot(); err != nil {
		return nil, nil, nil, err
	}
	target = target.clone()
	users, err := renumber("etc/passwd", false, base, running, target)
	if err != nil {
		return nil, nil, nil, err
	}
	groups, err := renumber("etc/group", true, base, running, target)
	if err != nil {
		return nil, nil, nil, err
	}
	target.setPrimaryGroups(base, groups)
	merged = Accounts{}
	for _, file := range AccountFiles {
		nexts, inNext := target[file]
		if _, inLive := running[file]; !inLive {
			if inNext {
				merged[file] = nexts
			}
			continue
		}
		content, conflict := accountFormats[file].lines(base[file], running[file], target[file])
		merged[file] = content
		conflicts = append(conflicts, conflict...)
	}
	for _, file := range []string{"etc/subuid", "etc/subgid"} {
		if content, ok := merged[file]; ok {
			merged[file] = spread(running[file], content)
		}
	}
	return merged, append(users, groups...), conflicts, nil
}

var accountFormats = map[string]format{
	"etc/passwd":  table(passwdFields),
	"etc/group":   table(groupFields),
	"etc/shadow":  table(shadowFields),
	"etc/gshadow": table(gshadowFields),
	// An account may have several ranges.
	"etc/subuid": {key: wholeLine},
	"etc/subgid": {key: wholeLine},
}

func (a Accounts) clone() Accounts {
	c := Accounts{}
	for file, content := range a {
		c[file] = content
	}
	return c
}

// RenumberedAccount returns an account whose number changed in the running system, or
// "". Unmodified files of the account in the target would keep the old number.
func RenumberedAccount(base, running Accounts) (name string, err error) {
	for _, file := range []string{"etc/passwd", "etc/group"} {
		before, err := numbers(base[file])
		if err != nil {
			return "", fmt.Errorf("cannot read /%s as it was: %w", file, err)
		}
		now, err := numbers(running[file])
		if err != nil {
			return "", fmt.Errorf("cannot read /%s: %w", file, err)
		}
		for _, name := range sorted(before) {
			if id, ok := now[name]; ok && id != before[name] {
				return name, nil
			}
		}
	}
	return "", nil
}

// checkRoot fails if an existing file lacks the account root.
func (a Accounts) checkRoot() error {
	for _, file := range []string{"etc/passwd", "etc/shadow", "etc/group"} {
		content, ok := a[file]
		if ok && !bytes.HasPrefix(content, []byte("root:")) && !bytes.Contains(content, []byte("\nroot:")) {
			return fmt.Errorf("cannot merge /%s: the running system's file has no account root", file)
		}
	}
	return nil
}

// numbers returns the IDs of a table by name: the third fields.
func numbers(content []byte) (map[string]uint32, error) {
	ids := map[string]uint32{}
	for line := range bytes.Lines(content) {
		text := strings.TrimSuffix(string(line), "\n")
		name := entryName(text)
		if name == "" {
			continue
		}
		fields := strings.Split(text, ":")
		if len(fields) < 3 {
			return nil, fmt.Errorf("the entry of %s has no number", name)
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the entry of %s has the number %q", name, fields[2])
		}
		if _, again := ids[name]; !again {
			ids[name] = uint32(id)
		}
	}
	return ids, nil
}

// renumber changes numbers in the target's file: an account that only the target added
// gets a number that is free in the running system, and an account that both added gets
// the running system's number.
func renumber(file string, group bool, base, running, target Accounts) ([]Renumbering, error) {
	var ids [3]map[string]uint32
	taken := map[uint32]bool{}
	for i, side := range []Accounts{base, running, target} {
		var err error
		if ids[i], err = numbers(side[file]); err != nil {
			return nil, fmt.Errorf("cannot merge /%s: %w", file, err)
		}
		for _, id := range ids[i] {
			taken[id] = true
		}
	}
	inBase, inLive, inNext := ids[0], ids[1], ids[2]
	owners := map[uint32][]string{}
	for name, id := range inLive {
		owners[id] = append(owners[id], name)
	}
	var renumbered []Renumbering
	for _, name := range sorted(inNext) {
		from := inNext[name]
		if _, known := inBase[name]; known {
			continue
		}
		to, both := inLive[name]
		if !both {
			to = from
			// Accounts that shared the number before do so on purpose.
			if slices.ContainsFunc(owners[from], func(owner string) bool { return inBase[owner] != from || !has(inBase, owner) }) {
				var err error
				if to, err = free(from, taken); err != nil {
					return nil, fmt.Errorf("cannot renumber %s: %w", name, err)
				}
				taken[to] = true
			}
		}
		if to != from {
			renumbered = append(renumbered, Renumbering{Name: name, Group: group, From: from, To: to})
		}
	}
	target[file] = edit(target[file], func(fields []string) {
		for _, r := range renumbered {
			if fields[0] == r.Name {
				fields[2] = strconv.FormatUint(uint64(r.To), 10)
			}
		}
	})
	return renumbered, nil
}

// setPrimaryGroups updates the primary groups of users that the target added or moved
// to another group, after groups were renumbered.
func (a Accounts) setPrimaryGroups(base Accounts, groups []Renumbering) {
	before := map[string]string{}
	for line := range bytes.Lines(base["etc/passwd"]) {
		if fields := strings.Split(string(line), ":"); len(fields) > 3 {
			before[fields[0]] = fields[3]
		}
	}
	a["etc/passwd"] = edit(a["etc/passwd"], func(fields []string) {
		if len(fields) < 4 || before[fields[0]] == fields[3] {
			return
		}
		for _, r := range groups {
			if fields[3] == strconv.FormatUint(uint64(r.From), 10) {
				fields[3] = strconv.FormatUint(uint64(r.To), 10)
				return
			}
		}
	})
}

// edit applies change to the fields of each entry of a table.
func edit(content []byte, change func(fields []string)) []byte {
	if content == nil {
		return nil
	}
	out := []byte{}
	for line := range bytes.Lines(content) {
		if text := strings.TrimSuffix(string(line), "\n"); entryName(text) != "" {
			fields := strings.Split(text, ":")
			change(fields)
			line = []byte(strings.Join(fields, ":") + string(line[len(text):]))
		}
		out = append(out, line...)
	}
	return out
}

// free finds a free number near another one, in the same range of Debian policy 9.2.2.
func free(near uint32, taken map[uint32]bool) (uint32, error) {
	first, last := uint32(1000), uint32(59999)
	if near < 1000 {
		first, last = 100, 999
	}
	for id := max(near, first); id <= last; id++ {
		if !taken[id] {
			return id, nil
		}
	}
	for id := min(near, last); id >= first; id-- {
		if !taken[id] {
			return id, nil
		}
	}
	return 0, fmt.Errorf("all numbers from %d to %d are taken", first, last)
}

// spread moves ranges of subordinate IDs (subuid(5)) that overlap with others, except
// the running system's.
func spread(running, merged []byte) []byte {
	type span struct{ start, end uint64 }
	parse := func(line string) (s span, ok bool) {
		fields := strings.Split(line, ":")
		if len(fields) != 3 {
			return s, false
		}
		start, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		return span{start, start + count}, err1 == nil && err2 == nil
	}
	var taken []span
	own := map[string]bool{}
	for line := range strings.Lines(string(running)) {
		line = strings.TrimSuffix(line, "\n")
		own[line] = true
		if s, ok := parse(line); ok {
			taken = append(taken, s)
		}
	}
	var out strings.Builder
	for line := range strings.Lines(string(merged)) {
		line = strings.TrimSuffix(line, "\n")
		if s, ok := parse(line); ok && !own[line] {
			size := s.end - s.start
			if slices.ContainsFunc(taken, func(t span) bool { return s.start < t.end && t.start < s.end }) {
				for _, t := range taken {
					s.start = max(s.start, t.end)
				}
				s.end = s.start + size
				line = fmt.Sprintf("%s:%d:%d", strings.SplitN(line, ":", 2)[0], s.start, size)
			}
			taken = append(taken, s)
		}
		out.WriteString(line + "\n")
	}
	return []byte(out.String())
}

func sorted(ids map[string]uint32) []string {
	var names []string
	for name := range ids {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func has(ids map[string]uint32, name string) bool {
	_, ok := ids[name]
	return ok
}
