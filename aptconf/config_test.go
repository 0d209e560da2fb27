package aptconf

import (
	"slices"
	"strings"
	"testing"
)

func mustParse(t *testing.T, dump string) Config {
	t.Helper()
	c, err := Parse([]byte(dump))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	c := mustParse(t, "Apt-Be=\nApt-Be::Redirect=\nApt-Be::Redirect::Commands=\n"+
		"Apt-Be::Redirect::Commands::=upgrade\nApt-Be::Redirect::Commands::=in%3dst%20all%20%c3%a9%25\n"+
		"Foo::A=b%0ac%22%3dd\nFoo::n%3dm=1\nFoo::Empty=\nN::D=12abc\nN::X=0x1F\nN::O=010\nN::Bad=abc\nN::Neg=-3\n"+
		"L=a,b\nL::=ignored\nM::first=1\nM::second=2\nM::second::third=3\n")
	for name, want := range map[string]string{
		"Foo::A": "b\nc\"=d", "foo::a": "b\nc\"=d", "FOO::N=M": "1", "Foo::Empty": "def", "Foo::Absent": "def",
	} {
		if got := c.String(name, "def"); got != want {
			t.Errorf("String(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string][]string{
		"apt-be::redirect::COMMANDS": {"upgrade", "in=st all é%"}, "L": {"a", "b"}, "M": {"1", "2"}, "Absent": nil, "Foo::A": {"b\nc\"=d"},
	} {
		if got := c.List(name); !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]int{"N::D": 12, "N::X": 31, "N::O": 8, "N::Bad": 7, "N::Neg": -3, "N::Absent": 7, "Foo::Empty": 7} {
		if got := c.Int(name, 7); got != want {
			t.Errorf("Int(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for dump, want := range map[string]string{
		"no sign\n":    "line 1: no '='",
		"a=b\nc=d":     "line 2 is cut off",
		"a=%4\n":       "escape cut off",
		"a=%\n":        "escape cut off",
		"a%zz=b\n":     "bad escape",
		"apt 2.6.1\n":  "no '='",
		"a=b\n\nc=d\n": "line 2: no '='",
	} {
		if c, err := Parse([]byte(dump)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want %q", dump, c, err, want)
		}
	}
}

func TestBool(t *testing.T) {
	yes := []string{"1", "yes", "true", "with", "on", "enable", "YES", "True", "oN", "01", "0x1", "+1", " 1"}
	no := []string{"0", "no", "false", "without", "off", "disable", "NO", "00", "0x0", "-0"}
	neither := []string{"2", "-1", "y", "n", "1x", "0ad", "perhaps", " ", "0x", "1 ", "ye\u017f", "99999999999999999999"}
	for _, v := range yes {
		if b, ok := ParseBool(v); !b || !ok {
			t.Errorf("ParseBool(%q) = %v, %v", v, b, ok)
		}
	}
	for _, v := range append(no, "") {
		if b, ok := ParseBool(v); b || !ok {
			t.Errorf("ParseBool(%q) = %v, %v", v, b, ok)
		}
	}
	for _, v := range neither {
		if b, ok := ParseBool(v); ok {
			t.Errorf("ParseBool(%q) = %v, %v", v, b, ok)
		}
	}
	c := mustParse(t, "A=yes\nB=no\nC=perhaps\nD=\n")
	for _, def := range []bool{false, true} {
		for name, want := range map[string]bool{"a": true, "b": false, "c": def, "d": def, "e": def} {
			if got := c.Bool(name, def); got != want {
				t.Errorf("Bool(%q, %v) = %v", name, def, got)
			}
		}
	}
}

func TestZeroConfig(t *testing.T) {
	var c Config
	if p, err := c.Policy(); err != nil || !p.Redirect || c.Bool("a", false) || c.List("a") != nil {
		t.Errorf("%+v, %v", p, err)
	}
}

// quote does the same as libapt's QuoteString.
func quote(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte("=\"\n%", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add("Apt-Be::Redirect", "no")
	f.Add("a::", "x=\"y\"\n%41 é")
	f.Fuzz(func(t *testing.T, name, value string) {
		// Parse either refuses or reads the text; it never panics
		if c, err := Parse([]byte(name + value)); err == nil {
			_, _ = c.Policy()
			_, _, _ = c.OtherRoot()
		}
		c, err := Parse([]byte(quote(name) + "=" + quote(value) + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "::") {
			if got := c.List(strings.TrimSuffix(name, "::")); len(got) != 1 || got[0] != value {
				t.Errorf("List of %q = %q, want %q", name, got, value)
			}
		} else if got := c.String(name, ""); got != value {
			t.Errorf("String(%q) = %q, want %q", name, got, value)
		}
		_ = c.Bool(name, false)
		_ = c.Int(name, 0)
	})
}

func TestFile(t *testing.T) {
	c, err := Parse([]byte("Dir=/\nDir::Etc=etc/apt\nDir::Etc::sourcelist=sources.list\nDir::Etc::sourceparts=/srv/parts\n" +
		"Dir::Etc::netrc=./here\nDir::Etc::trusted=\nAcquire::http::Proxy-Auto-Detect=/bin/detect\n"))
	if err != nil {
		t.Fatal(err)
	}
	for item, want := range map[string]string{
		"Dir::Etc::SourceList":             "/etc/apt/sources.list",
		"Dir::Etc::sourceparts":            "/srv/parts",
		"Dir::Etc::netrc":                  "./here",
		"Dir::Etc::trusted":                "",
		"Dir::Etc::none":                   "",
		"Acquire::http::Proxy-Auto-Detect": "/bin/detect",
	} {
		if got := c.File(item); got != want {
			t.Errorf("File(%s) = %q, want %q", item, got, want)
		}
	}
}
