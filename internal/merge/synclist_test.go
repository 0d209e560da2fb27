package merge

import (
	"slices"
	"testing"
)

func TestParseRules(t *testing.T) {
	got, err := ParseRules("synclist", []byte(`# comment
/var/mail	OVERWRITE
/etc/passwd MERGE # by entry

/var/log/syslog*   APPEND
/with\040space
`))
	want := Rules{
		{"/var/mail", Overwrite, "synclist:2", true},
		{"/etc/passwd", Merge, "synclist:3", true},
		{"/var/log/syslog*", Append, "synclist:5", true},
		{"/with space", Overwrite, "synclist:6", true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestBadRules(t *testing.T) {
	for line, want := range map[string]string{
		"etc/passwd MERGE":  `"etc/passwd" is not an absolute path`,
		"/etc/passwd merge": `unknown action "merge": use OVERWRITE, APPEND, PREPEND, MERGE, UPGRADE or IGNORE`,
		"/etc/ IGNORE":      `"/etc/" is not a cleaned path; write /etc`,
		"/etc/../x IGNORE":  `"/etc/../x" is not a cleaned path; write /x`,
		"/etc/[ IGNORE":     `"/etc/[" is not a pattern: syntax error in pattern`,
		"/a file IGNORE":    `unknown action "file": use OVERWRITE, APPEND, PREPEND, MERGE, UPGRADE or IGNORE`,
		"/a IGNORE MERGE":   `too many words in "MERGE": use a path and an action; write a space in a path as \040`,
		`/a\04`:             `three octal digits must follow a backslash, such as \040`,
		`/a\999`:            `\999 are not three octal digits`,
	} {
		_, err := ParseRules("/etc/apt-be/synclist", []byte("/fine IGNORE\n"+line+"\n"))
		if want := "/etc/apt-be/synclist:2: " + want; err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}

func TestFor(t *testing.T) {
	rules, err := ParseRules("s", []byte("/var MERGE\n/var/log APPEND\n/var/log/*.db IGNORE\n/etc/*/keep IGNORE\n/exact[1] PREPEND\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Action{
		"/var":             Merge,
		"/var/mail/al":     Merge,
		"/var/log/syslog":  Append,
		"/var/log/a.db":    Ignore,
		"/var/log/d/a.db":  Append,
		"/variety":         "",
		"/etc/x/keep/deep": Ignore,
		"/etc/keep":        "",
		"/exact[1]":        Prepend,
		"/":                "",
	} {
		if rule, ok := rules.For(name); rule.Action != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", name, rule.Action, want)
		}
	}
}

func TestDefaultRules(t *testing.T) {
	rules := DefaultRules()
	for name, want := range map[string]Action{
		"/etc/passwd":            Merge,
		"/etc/passwd-":           Overwrite,
		"/var/log/auth.log":      Append,
		"/var/log/journal/x/y":   Overwrite,
		"/var/lib/dpkg/status":   Ignore,
		"/boot/initrd.img-6.1":   Upgrade,
		"/var/lib/mysql/ibdata1": "",
		"/var/mail/al":           Append,
		"/etc/ssh/sshd_config":   "",
	} {
		if rule, _ := rules.For(name); rule.Action != want {
			t.Errorf("%s: %q, want %q", name, rule.Action, want)
		}
	}
	for _, file := range AccountFiles {
		if rule, _ := rules.For("/" + file); rule.Action != Merge {
			t.Errorf("%s is not merged", file)
		}
	}
}
