package script

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/cli"
)

// pages are the documents whose commands are checked.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(found) < 5 {
		t.Fatalf("docs: %q, %v", found, err)
	}
	return append(found, "../../README.md", "../../CONTRIBUTING.md", "../../tests/README.md", "../../hooks/README.md")
}

// shellCommands returns the command lines of a page's sh blocks, without comments.
func shellCommands(t *testing.T, page string) (commands []string) {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside:
			command, _, _ := strings.Cut(line, " #")
			if command = strings.TrimSpace(command); command != "" {
				commands = append(commands, command)
			}
		}
	}
	return commands
}

// verbs returns a fresh command tree of apt-be.
func verbs() *cobra.Command { return cli.NewCommand(&cli.App{Log: logrus.New()}) }

// checkAptBe fails if a command line of apt-be, without the name, has an unknown verb
// or flag.
func checkAptBe(words []string) error {
	command, rest, err := verbs().Find(words)
	if err != nil {
		return err
	}
	if command.DisableFlagParsing { // apt-get's options follow
		return nil
	}
	command.InitDefaultHelpFlag()
	return command.ParseFlags(rest)
}

// elsewhere are programs that documentation may name without a check here.
var elsewhere = []string{"apt-get", "reboot", "systemctl", "go", "dpkg", "cp", "mount"}

func TestDocumentedCommandsExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, page := range pages(t) {
		for _, command := range shellCommands(t, page) {
			words := strings.Fields(strings.TrimPrefix(command, "sudo "))
			count++
			var err error
			switch program := words[0]; {
			case program == "apt-be":
				err = checkAptBe(words[1:])
			case program == "make":
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(words[1]) + `:`).Match(makefile) {
					t.Errorf("%s: %q: the Makefile has no such target", page, command)
				}
			case strings.HasPrefix(program, "scripts/"):
				_, err = os.Stat("../../" + program)
			case !slices.Contains(elsewhere, program):
				t.Errorf("%s: %q: unknown program", page, command)
			}
			if err != nil {
				t.Errorf("%s: %q: %v", page, command, err)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d commands found", count)
	}
}

// inline matches a command of apt-be in the running text of a page.
var inline = regexp.MustCompile("`(?:sudo )?apt-be ([a-z][a-z-]*(?: [^`]*)?)`")

func TestCommandsInTextExist(t *testing.T) {
	for _, page := range pages(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range inline.FindAllStringSubmatch(strings.ReplaceAll(string(data), "\n", " "), -1) {
			if strings.Contains(match[1], "…") {
				continue
			}
			if err := checkAptBe(strings.Fields(match[1])); err != nil {
				t.Errorf("%s: `apt-be %s`: %v", page, match[1], err)
			}
		}
	}
}

// readmeRoot is the root on which the README's commands run, as files of a script.
const readmeRoot = `
-- root/etc/fstab --
UUID=1 / btrfs subvol=@rootfs 0 0
-- root/etc/os-release --
PRETTY_NAME=Debian
-- root/boot/vmlinuz-6.1 --
kernel
-- root/boot/initrd.img-6.1 --
initrd
-- root/lib/modules/6.1/modules.dep --
-- root/var/mail/al --
mail
-- root/var/lib/dpkg/status --
Package: pkg
Status: install ok installed
Architecture: all
Version: 1.0

`

// notHere are commands of the README that cannot run on the fake machine. The tests in
// brackets run them on real ones.
var notHere = map[string]string{
	"apt-be init":                                "changes a boot loader (tests/vm TestLayouts)",
	"apt-be doctor":                              "examines a boot loader (tests/vm TestLayouts)",
	"apt-be activate NAME --now":                 "leaves the running system (tests/vm TestMethods)",
	"apt-be share restore /var/mail --from NAME": "needs a share snapshot, which a shutdown takes (share.txtar)",
}

// TestReadmeRuns runs the README's commands in order on a fake machine, with the pending
// environment NAME.
func TestReadmeRuns(t *testing.T) {
	script := "exec machine install root\nexec machine boot-menu\nexec apt-be create NAME\nexec machine record NAME ready redirect 1\nexec apt-be create old\nexec machine record old blessed redirect 2\n"
	count := 0
	for _, command := range shellCommands(t, "../../README.md") {
		command = strings.TrimPrefix(command, "sudo ")
		if !strings.HasPrefix(command, "apt-be ") || notHere[command] != "" {
			continue
		}
		count++
		script += "exec " + command + "\n"
	}
	if count < 8 {
		t.Fatalf("only %d commands can run", count)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), []byte(script+readmeRoot), 0o644); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, parameters(dir))
}
