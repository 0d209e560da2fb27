package merge

import "strings"

// debconfFiles are debconf's database (debconf.conf(5)): what was answered, what
// was answered in secret, and what may be asked.
var debconfFiles = map[string]format{
	"var/cache/debconf/config.dat":    {apart: "\n\n", key: stanzaName, merge: mergeAnswer},
	"var/cache/debconf/passwords.dat": {apart: "\n\n", key: stanzaName, merge: mergeSecret},
	"var/cache/debconf/templates.dat": {apart: "\n\n", key: stanzaName, merge: theirs},
}

// stanzaName is what the first field says, which is Name.
func stanzaName(stanza string) string {
	first, _, _ := strings.Cut(stanza, "\n")
	name, ok := strings.CutPrefix(first, "Name: ")
	if !ok {
		return ""
	}
	return name
}

// theirs is for what the packages say, which are the new side's.
func theirs(_, _, target string) (string, []Conflict) { return target, nil }

// mergeAnswer merges a question that is in both sides: an answer that the live
// side gave counts, and so does that it was given; who asks, and what, is for
// the packages of the new side to say.
func mergeAnswer(base, running, target string) (merged string, conflicts []Conflict) {
	b, l, n := stanzaFields(base), stanzaFields(running), stanzaFields(target)
	order := n.order
	for _, name := range []string{"Value", "Flags"} {
		is, was, other := l.line[name], b.line[name], n.line[name]
		if is == was || is == other {
			continue
		}
		if name == "Value" && other != was && other != "" {
			conflicts = append(conflicts, Conflict{What: stanzaName(target), Lost: other})
		}
		if other == "" {
			order = append(order, name)
		}
		n.line[name] = is
	}
	var result []string
	for _, name := range order {
		if n.line[name] != "" {
			result = append(result, n.line[name])
		}
	}
	return strings.Join(result, "\n"), conflicts
}

// mergeSecret is mergeAnswer for what nobody is to read in a report.
func mergeSecret(base, running, target string) (merged string, conflicts []Conflict) {
	merged, conflicts = mergeAnswer(base, running, target)
	for i := range conflicts {
		conflicts[i].Lost = "another password"
	}
	return merged, conflicts
}

// stanzaFields are the fields of a stanza, each with the lines that go on with it.
func stanzaFields(stanza string) entries {
	e := entries{line: map[string]string{}}
	for _, line := range strings.Split(stanza, "\n") {
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, " ") && len(e.order) > 0 {
			e.line[e.order[len(e.order)-1]] += "\n" + line
			continue
		}
		name, _, _ := strings.Cut(line, ":")
		e.order = append(e.order, name)
		e.line[name] = line
	}
	return e
}
