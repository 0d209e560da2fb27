package merge

import "strings"

// debconfFiles are the files of debconf's database (debconf.conf(5)): answers, secret
// answers, and templates.
var debconfFiles = map[string]format{
	"var/cache/debconf/config.dat":    {apart: "\n\n", key: stanzaName, merge: mergeAnswer},
	"var/cache/debconf/passwords.dat": {apart: "\n\n", key: stanzaName, merge: mergeSecret},
	"var/cache/debconf/templates.dat": {apart: "\n\n", key: stanzaName, merge: theirs},
}

// stanzaName returns the value of the first field, which is Name.
func stanzaName(stanza string) string {
	first, _, _ := strings.Cut(stanza, "\n")
	name, ok := strings.CutPrefix(first, "Name: ")
	if !ok {
		return ""
	}
	return name
}

// theirs returns the target's version, for data that packages define.
func theirs(_, _, target string) (string, []Conflict) { return target, nil }

// mergeAnswer merges a question that both sides have. The running system's answer wins,
// and its mark that the question was answered; the target's packages define the other
// fields.
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

// mergeSecret is mergeAnswer for secrets, which no report may contain.
func mergeSecret(base, running, target string) (merged string, conflicts []Conflict) {
	merged, conflicts = mergeAnswer(base, running, target)
	for i := range conflicts {
		conflicts[i].Lost = "another password"
	}
	return merged, conflicts
}

// stanzaFields returns the fields of a stanza, each with its continuation lines.
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
