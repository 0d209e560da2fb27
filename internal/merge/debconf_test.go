package merge

import (
	"strings"
	"testing"
)

// question returns a stanza of config.dat without empty fields.
func question(name, value, owners, flags string) string {
	stanza := "Name: " + name + "\nTemplate: " + name + "\n"
	if value != "" {
		stanza += "Value: " + value + "\n"
	}
	stanza += "Owners: " + owners + "\n"
	if flags != "" {
		stanza += "Flags: " + flags + "\n"
	}
	return stanza + "Variables:\n a = b\n c = d\n\n"
}

func TestDebconf(t *testing.T) {
	asked, answered := question("p/q", "", "p", ""), question("p/q", "blue", "p", "seen")
	for name, c := range map[string]struct {
		base, live, next, want string
		lost                   string
	}{
		"a preseed for what nobody has asked yet": {"", question("x/y", "1", "x", "seen"), answered, answered + question("x/y", "1", "x", "seen"), ""},
		"asked again by the upgrade, and changed here": {answered, question("p/q", "green", "p", "seen"), question("p/q", "blue", "p, new", "seen"),
			question("p/q", "green", "p, new", "seen"), ""},
		"changed by the upgrade": {answered + question("p/r", "1", "p", "seen"), answered + question("p/r", "2", "p", "seen"),
			question("p/q", "red", "p", "seen") + question("p/r", "1", "p", "seen"), question("p/q", "red", "p", "seen") + question("p/r", "2", "p", "seen"), ""},
		"both answered": {asked, question("p/q", "green", "p", "seen"), question("p/q", "red", "p", "seen"), question("p/q", "green", "p", "seen"), "Value: red"},
		"gone here":     {answered, "", question("p/q", "red", "p", "seen"), "", ""},
	} {
		got, conflicts, err := Text("var/cache/debconf/config.dat", Merge, []byte(c.base), []byte(c.live), []byte(c.next))
		if err != nil || strings.ReplaceAll(string(got), "\n", "|") != strings.ReplaceAll(c.want, "\n", "|") {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
		if c.lost != "" && (len(conflicts) != 1 || conflicts[0].What != "p/q" || conflicts[0].Lost != c.lost) {
			t.Errorf("%s: conflicts %v", name, conflicts)
		}
	}
	_, conflicts, err := Text("var/cache/debconf/passwords.dat", Merge, []byte(asked), []byte(question("p/q", "a", "p", "")), []byte(question("p/q", "b", "p", "")))
	if err != nil || len(conflicts) != 1 || conflicts[0].Lost != "another password" {
		t.Errorf("of secrets: %v, %v", conflicts, err)
	}
	got, conflicts, err := Text("var/cache/debconf/templates.dat", Merge, nil, []byte("Name: p/q\nType: string\n\nName: x/y\nType: string\n\n"), []byte("Name: p/q\nType: select\n\n"))
	if want := "Name: p/q\nType: select\n\nName: x/y\nType: string\n\n"; err != nil || len(conflicts) != 0 || string(got) != want {
		t.Errorf("templates: %v, %v\n%s", conflicts, err, got)
	}
}
