package mailspool_test

import (
	"io"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/mailspool"
)

func TestParse(t *testing.T) {
	m, err := mailspool.Parse([]byte("3\x00-oi\x00-t\x00\x00To: root\n\n3\x00x"))
	if err != nil || !slices.Equal(m.Args, []string{"-oi", "-t", ""}) || string(m.Text) != "To: root\n\n3\x00x" {
		t.Errorf("Parse = %q, %q, %v", m.Args, m.Text, err)
	}
	for _, broken := range []string{"", "3", "x\x00", "-1\x00", "2\x00one\x00", "99999999\x00", "99999999999999999999\x00"} {
		if m, err := mailspool.Parse([]byte(broken)); err == nil {
			t.Errorf("Parse(%q) = %q", broken, m)
		}
	}
}

// A script controls only the recipients in the arguments of root's sendmail.
func TestRecipients(t *testing.T) {
	for args, want := range map[string]string{
		"-oi -t":                               "-i -t --",
		"root":                                 "-i -- root",
		"-i -f me@here -- -root root":          "-i -f me@here -- root",
		"-fme root":                            "-i -f me -- root",
		"-r me root":                           "-i -f me -- root",
		"-t -X /etc/shadow -C/tmp/evil -OQ=/x": "-i -t --",
		"-C /tmp/evil -D X=y -bm -oMr x root":  "-i -- X=y x root",
		"-f -oX root":                          "-i -- root",
		"-F Somebody -B 8BITMIME root admin":   "-i -- root admin",
		"|/bin/sh /etc/passwd :include:/x a":   "-i -- a",
		"-t -f":                                "-i -t --",
		"- a":                                  "-i -- a",
	} {
		got, ok := mailspool.Message{Args: strings.Fields(args)}.Recipients()
		if strings.Join(got, " ") != want || !ok {
			t.Errorf("Recipients of %q = %q, %v, want %q", args, got, ok, want)
		}
	}
	for _, args := range [][]string{nil, {"-f", "me"}, {"a\nb"}, {""}, {"-i", "--", "-t"}} {
		if got, ok := (mailspool.Message{Args: args}).Recipients(); ok {
			t.Errorf("Recipients of %q = %q", args, got)
		}
	}
}

func TestAnnotated(t *testing.T) {
	const text = "Subject: result\nTo: root\n"
	for name, tt := range map[string]struct{ in, want string }{
		"plain":                  {text + "\nBody.\n", text + "X-Apt-Be: new; ready\n\nBody.\n\nIt is = ready.\n"},
		"without an end of line": {text + "\nBody.", text + "X-Apt-Be: new; ready\n\nBody.\n\nIt is = ready.\n"},
		"quoted-printable": {
			text + "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\nB=C3=B6dy.",
			text + "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\nX-Apt-Be: new; ready\n\nB=C3=B6dy.\n\nIt is =3D ready.\n",
		},
		"base64": {
			text + "Content-Type: text/plain;\n charset=utf-8\nContent-Transfer-Encoding: base64\n\nQsO2\nZHkK\n",
			text + "Content-Type: text/plain;\n charset=utf-8\nContent-Transfer-Encoding: base64\nX-Apt-Be: new; ready\n\nQsO2ZHkKCkl0IGlzID0gcmVhZHkuCg==\n",
		},
		"not what it says": {
			text + "Content-Transfer-Encoding: base64\n\n%%\n",
			text + "Content-Transfer-Encoding: base64\nX-Apt-Be: new; ready\n\n%%\n",
		},
		"several parts": {
			text + "Content-Type: multipart/mixed; boundary=x\n\n--x\n",
			text + "Content-Type: multipart/mixed; boundary=x\nX-Apt-Be: new; ready\n\n--x\n",
		},
		"with CRLF":          {"Subject: x\r\n\r\nBody.\r\n", "Subject: x\r\nX-Apt-Be: new; ready\r\n\r\nBody.\r\n\r\nIt is = ready.\r\n"},
		"without a header":   {"Just some words.\n", "X-Apt-Be: new; ready\n\nJust some words.\n\nIt is = ready.\n"},
		"no empty line":      {"Subject: x\nJust some words.\n", "Subject: x\nX-Apt-Be: new; ready\n\nJust some words.\n\nIt is = ready.\n"},
		"nothing but header": {"Subject: x", "Subject: x\nX-Apt-Be: new; ready\n\n\nIt is = ready.\n"},
		"nothing":            {"", "X-Apt-Be: new; ready\n\n\nIt is = ready.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := mailspool.Message{Text: []byte(tt.in)}.Annotated("new; ready", []string{"It is = ready."})
			if string(got) != tt.want {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
			if _, err := mail.ReadMessage(strings.NewReader(string(got))); err != nil {
				t.Error(err)
			}
		})
	}
}

// A name or a title cannot add header fields, or bytes outside of the encoding.
func TestAnnotatedIsASCII(t *testing.T) {
	got := string(mailspool.Message{Text: []byte("Subject: x\n\n")}.Annotated("a\nBcc: evil", []string{"Débian"}))
	if want := "Subject: x\nX-Apt-Be: a?Bcc: evil\n\n\nD?bian\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzAnnotated(f *testing.F) {
	f.Add([]byte("Subject: x\nContent-Transfer-Encoding: base64\n\nQQ==\n"))
	f.Add([]byte("\xff: \n \n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := string(mailspool.Message{Text: text}.Annotated("new", []string{"line"}))
		if !strings.Contains(got, mailspool.HeaderField+": new") {
			t.Errorf("%q has no field", got)
		}
	})
}

// unreal runs the sendmail stand-in under a name, with its paths moved into a
// directory.
func unreal(t *testing.T, dir, name, stdin string, args ...string) error {
	t.Helper()
	script, err := os.ReadFile("../../hooks/sandbox/mta/sendmail")
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("/run/apt-be/mail", dir+"/mail", "/usr/sbin/", dir+"/").Replace(string(script))
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(moved), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{file}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd.Run()
}

// Parse reads the stand-in's output byte for byte.
func TestStandIn(t *testing.T) {
	dir := t.TempDir()
	spool := filepath.Join(dir, "mail")
	if err := unreal(t, dir, "sendmail", "lost", "root"); err == nil {
		t.Error("mail that can't be spooled is said to be sent")
	}
	if err := os.Mkdir(spool, 0o755); err != nil {
		t.Fatal(err)
	}
	args, text := []string{"-oi", "a b", "", "line\nline", "--", "-q"}, "To: root\n\n.\n\x00\xff without end"
	if err := unreal(t, dir, "sendmail", text, args...); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(spool)
	if err != nil || len(entries) != 1 {
		t.Fatalf("spooled are %v, %v", entries, err)
	}
	data, err := os.ReadFile(filepath.Join(spool, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mailspool.Parse(data)
	if err != nil || !slices.Equal(m.Args, args) || string(m.Text) != text {
		t.Errorf("Parse = %q, %q, %v", m.Args, m.Text, err)
	}
}

// The stand-in runs the real program for requests that send no mail.
func TestStandInRunsRealProgram(t *testing.T) {
	dir := t.TempDir()
	record := filepath.Join(dir, "record")
	real := "#!/bin/sh\necho \"$@\" >>" + record + "\n"
	if err := os.WriteFile(filepath.Join(dir, "sendmail.apt-be"), []byte(real), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, call := range [][]string{{"newaliases"}, {"mailq", "-v"}, {"sendmail", "-q"}, {"sendmail", "-v", "-bi"}, {"sendmail", "-I"}} {
		if err := unreal(t, dir, call[0], "", call[1:]...); err != nil {
			t.Errorf("%q: %v", call, err)
		}
	}
	got, err := os.ReadFile(record)
	if want := "-bi\n-bp -v\n-q\n-v -bi\n-I\n"; err != nil || string(got) != want {
		t.Errorf("the real one was called with %q, want %q; %v", got, want, err)
	}
}

// Annotated keeps a message of Python's email package, which unattended-upgrade uses,
// readable.
func TestAnnotatedReadsWell(t *testing.T) {
	in := "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\nLog =E2=80=94 end="
	m, err := mail.ReadMessage(strings.NewReader(string(mailspool.Message{Text: []byte(in)}.Annotated("x", []string{"One.", "Two."}))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if got := strings.ReplaceAll(string(body), "\r", ""); err != nil || got != "Log — end\nOne.\nTwo.\n" {
		t.Errorf("the body is %q, %v", got, err)
	}
}
