package docs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Checker checks commands against the repository.
type Checker struct {
	Root  string                // of the repository
	AptBe func() *cobra.Command // returns the command apt-be
	Added []File                // files that the document shows how to add
	Names map[string]bool       // of ReadNames
}

// adds reports whether the document shows how to add a file.
func (c Checker) adds(name string) bool {
	return slices.ContainsFunc(c.Added, func(f File) bool { return f.Name == name })
}

// programs are programs of Debian that documents call. Their options are not checked.
var programs = []string{
	"apt", "apt-get", "aptitude", "cat", "cd", "chmod", "cp", "dpkg", "echo", "export", "findmnt", "git", "ls", "quilt",
	"reboot", "systemctl", "unattended-upgrade",
}

// Check fails if the command has a verb, an option, a file, a package or a test that
// does not exist. A command in a sentence may lack arguments.
func (c Checker) Check(command Command) error {
	simple, err := Words(command.Text)
	if err != nil {
		return err
	}
	for _, words := range simple {
		if err := c.check(words, command); err != nil {
			return fmt.Errorf("%s: %s: %w", command.Place(), command.Text, err)
		}
	}
	return nil
}

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// check checks one simple command of a command line.
func (c Checker) check(words []string, command Command) error {
	for len(words) > 0 && (words[0] == "sudo" || assignment.MatchString(words[0])) {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil
	}
	program, args := words[0], words[1:]
	switch {
	case program == "apt-be":
		return c.aptBe(args, command.Typed)
	case program == "make":
		return c.makeTarget(filepath.Dir(command.File), args)
	case program == "go":
		return c.goTool(args)
	case strings.Contains(program, "/"):
		return c.script(program, args)
	case !slices.Contains(programs, program):
		return fmt.Errorf("unknown program %s", program)
	}
	return nil
}

// placeholder matches a word that the reader replaces, such as NAME or NAME....
var placeholder = regexp.MustCompile(`^\[?[A-Z]+[\].]*$`)

// aptBe checks the arguments of apt-be. If whole is false, arguments may be missing.
func (c Checker) aptBe(args []string, whole bool) error {
	if len(args) == 0 || placeholder.MatchString(args[0]) {
		return nil
	}
	if c.adds("internal/cli/" + args[0] + ".go") {
		return nil
	}
	root := c.AptBe()
	root.InitDefaultHelpCmd()
	root.InitDefaultVersionFlag()
	command, rest, err := root.Traverse(args)
	if err != nil {
		return err
	}
	// An apt verb passes unknown options to apt-get.
	if command.DisableFlagParsing {
		return nil
	}
	if err := command.ParseFlags(rest); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	operands := command.Flags().Args()
	if !command.Runnable() || command.HasSubCommands() && len(operands) > 0 {
		if len(operands) > 0 && !placeholder.MatchString(operands[0]) {
			return fmt.Errorf("%s has no command %s", command.CommandPath(), operands[0])
		}
		return nil
	}
	if err := root.PersistentPreRunE(command, nil); err != nil {
		return err
	}
	if whole {
		return command.ValidateArgs(operands)
	}
	return nil
}

// makeTarget checks the arguments of make in a directory, or in the root of the
// repository if the directory has no Makefile.
func (c Checker) makeTarget(dir string, args []string) error {
	text, err := c.text(filepath.Join(dir, "Makefile"))
	if errors.Is(err, os.ErrNotExist) {
		text, err = c.text("Makefile")
	}
	if err != nil {
		return err
	}
	variables := map[string]string{"RELEASE": "stable"}
	target := ""
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok {
			if !strings.Contains(text, "$("+name+")") {
				return fmt.Errorf("the Makefile does not read %s", name)
			}
			variables[name] = value
			continue
		}
		target = arg
		if !strings.Contains(text, "\n"+target+":") {
			return fmt.Errorf("the Makefile has no target %s", target)
		}
	}
	switch {
	case target == "btrfs" && variables["GROUP"] != "":
		return c.pattern("btrfs", variables["RELEASE"]+"/"+variables["GROUP"])
	case target == "vm" && variables["SCENARIO"] != "":
		return c.pattern("vm", variables["SCENARIO"])
	case target == "unit" && variables["PATTERN"] != "":
		return c.pattern("unit", variables["PATTERN"])
	case target == "boot":
		return c.scenario([]string{variables["SCENARIO"]})
	}
	return nil
}

// script checks a program of the repository and its arguments.
func (c Checker) script(program string, args []string) error {
	if strings.HasPrefix(program, "/") {
		return nil
	}
	text, err := c.text(program)
	if err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Join(c.Root, program)); err != nil || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not executable", program)
	}
	var operands []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			operands = append(operands, arg)
		} else if !strings.Contains(text, arg) {
			return fmt.Errorf("%s has no option %s", program, arg)
		}
	}
	if len(operands) == 0 || placeholder.MatchString(operands[0]) {
		return nil
	}
	switch program {
	case "scripts/test":
		if !regexp.MustCompile(`(?m)^#   ` + regexp.QuoteMeta(operands[0]) + `\b`).MatchString(text) {
			return fmt.Errorf("%s has no tier %s", program, operands[0])
		}
		if len(operands) > 1 {
			return c.pattern(operands[0], operands[1])
		}
	case "scripts/vm":
		return c.scenario(operands)
	}
	return nil
}

// pattern checks the PATTERN of a tier of scripts/test.
func (c Checker) pattern(tier, pattern string) error {
	if placeholder.MatchString(pattern) {
		return nil
	}
	dir := map[string]string{"btrfs": "tests/btrfs", "vm": "tests/vm", "unit": pattern}[tier]
	if tier == "btrfs" && !strings.HasPrefix(pattern, "Test") {
		_, group, found := strings.Cut(pattern, "/")
		if !found {
			group = pattern
		}
		text, err := c.text("tests/btrfs/debian_test.go")
		if err == nil && !strings.Contains(text, `{"`+group+`", test`) {
			err = fmt.Errorf("TestDebian has no group %s", group)
		}
		return err
	}
	if tier != "unit" {
		return c.hasTest(dir, "Test", pattern)
	}
	if !strings.HasPrefix(pattern, "Test") {
		_, err := os.Stat(filepath.Join(c.Root, dir))
		return err
	}
	err := c.hasTest("tests/script", "Test", pattern)
	for _, glob := range []string{"internal/*", "internal/*/*"} {
		dirs, _ := filepath.Glob(filepath.Join(c.Root, glob))
		for _, dir := range dirs {
			if err != nil {
				dir, _ = filepath.Rel(c.Root, dir)
				err = c.hasTest(dir, "Test", pattern)
			}
		}
	}
	return err
}

// scenario checks the arguments of scripts/vm.
func (c Checker) scenario(args []string) error {
	name, recipe, given := strings.Cut(args[0], "/")
	if placeholder.MatchString(name) {
		return nil
	}
	if err := c.hasTest("tests/vm", "(?i)Test", name+"$"); err != nil {
		return err
	}
	if given && !c.goFilesContain("tests/vm/image", regexp.MustCompile(regexp.QuoteMeta(`"`+recipe+`"`))) {
		return fmt.Errorf("there is no recipe %s", recipe)
	}
	for _, script := range args[1:] {
		commands, err := Words(script)
		if err != nil {
			return err
		}
		for _, words := range commands {
			if words[0] != "apt-be" {
				continue
			}
			if err := c.aptBe(words[1:], true); err != nil {
				return err
			}
		}
	}
	return nil
}

// goFlags are the options of go test that documents use, with whether they take a
// value.
var goFlags = map[string]bool{
	"-v": false, "-race": false, "-args": false, "-run": true, "-bench": true, "-benchtime": true, "-timeout": true, "-count": true,
}

// goTool checks the arguments of go.
func (c Checker) goTool(args []string) error {
	if len(args) == 0 || args[0] != "test" && args[0] != "run" && args[0] != "vet" {
		return nil
	}
	var dirs []string
	options := map[string]string{}
	for i := 1; i < len(args); i++ {
		arg := args[i]
		takesValue, known := goFlags[arg]
		switch {
		case strings.HasPrefix(arg, "./"):
			dirs = append(dirs, strings.TrimSuffix(strings.TrimSuffix(arg, "..."), "/"))
		case args[0] == "run" && len(dirs) > 0: // an argument of the program
		case takesValue && i+1 < len(args):
			i++
			options[arg] = args[i]
		case known:
		case strings.HasPrefix(arg, "-") && len(dirs) > 0:
			defined := regexp.MustCompile(`flag\.\w+\("` + regexp.QuoteMeta(arg[1:]) + `"`)
			if !c.goFilesContain(dirs[0], defined) {
				return fmt.Errorf("%s has no option %s", dirs[0], arg)
			}
		}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(c.Root, dir)); err != nil {
			return err
		}
	}
	for option, prefix := range map[string]string{"-run": "Test", "-bench": "Benchmark"} {
		pattern := options[option]
		if pattern == "" || pattern == "^$" || placeholder.MatchString(pattern) {
			continue
		}
		if err := c.hasTest(dirs[0], prefix, pattern); err != nil {
			return err
		}
	}
	return nil
}

// hasTest fails if no test in a directory has a name that the first part of a pattern
// of go test matches.
func (c Checker) hasTest(dir, prefix, pattern string) error {
	pattern, _, _ = strings.Cut(pattern, "/")
	end := strings.HasSuffix(pattern, "$")
	pattern = strings.TrimPrefix(strings.TrimRight(strings.TrimPrefix(pattern, "^"), "$"), "Test")
	expression := `(?m)^func ` + prefix + strings.TrimPrefix(pattern, "Benchmark")
	if prefix == "(?i)Test" {
		expression = `(?mi)^func Test` + pattern
	}
	if end {
		expression += `\(`
	}
	compiled, err := regexp.Compile(expression)
	if err != nil {
		return err
	}
	if !c.goFilesContain(dir, compiled) {
		return fmt.Errorf("%s has no test %s", dir, pattern)
	}
	return nil
}

// goFilesContain reports whether a Go file of a directory, or one that the document
// shows how to add there, matches an expression.
func (c Checker) goFilesContain(dir string, expression *regexp.Regexp) bool {
	for _, f := range c.Added {
		if filepath.Dir(f.Name) == filepath.Clean(dir) && expression.MatchString(f.Text) {
			return true
		}
	}
	files, _ := filepath.Glob(filepath.Join(c.Root, dir, "*.go"))
	return slices.ContainsFunc(files, func(file string) bool {
		data, err := os.ReadFile(file)
		return err == nil && expression.Match(data)
	})
}

func (c Checker) text(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(c.Root, name))
	return string(data), err
}

// commandSpan matches code in a sentence that is a command to check.
var commandSpan = regexp.MustCompile(`^(sudo )?(apt-be [a-z-]|scripts/|dpkgpatch/build|make [a-z]|go (test|run|vet) )`)

// IsCommand reports whether code in a sentence is a command that Check understands.
func IsCommand(text string) bool {
	return commandSpan.MatchString(text) && !strings.ContainsAny(text, "…{}<*=")
}

// identifier matches code in a sentence that is a name in the Go source: with a package
// or a type before it, or in camel case.
var identifier = regexp.MustCompile(`^(?:[A-Za-z]+\.)?([A-Za-z]\w*)$`)

// CheckName fails if code in a sentence is the name of a function, a type or a field
// that no Go file contains.
func (c Checker) CheckName(command Command) error {
	found := identifier.FindStringSubmatch(command.Text)
	if found == nil || !regexp.MustCompile(`^[a-z]+\.[A-Z]|^[A-Z]\w+\.[A-Za-z]|[a-z][A-Z]`).MatchString(command.Text) {
		return nil
	}
	if !c.Names[found[1]] {
		return fmt.Errorf("%s: no Go file contains %s", command.Place(), command.Text)
	}
	return nil
}

// ReadNames returns the words of all Go files below the directories of the repository.
func ReadNames(root string) (map[string]bool, error) {
	names := map[string]bool{}
	word := regexp.MustCompile(`[A-Za-z]\w*`)
	for _, top := range []string{"cmd", "internal", "aptconf", "tests"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(file string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".go" {
				return err
			}
			data, err := os.ReadFile(file)
			for _, name := range word.FindAllString(string(data), -1) {
				names[name] = true
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// path matches code in a sentence that is a path in the repository.
var path = regexp.MustCompile(`^(cmd|internal|aptconf|hooks|debian|docs|scripts|tests|dpkgpatch)/[A-Za-z0-9._/-]+$|^[a-z_/]+\.go$`)

// CheckPath fails if code in a sentence is a path in the repository that does not
// exist. A Go file may be named without its directories.
func (c Checker) CheckPath(command Command) error {
	name := command.Text
	if !path.MatchString(name) || c.adds(name) {
		return nil
	}
	for _, dir := range []string{"", filepath.Dir(command.File), "internal"} {
		if _, err := os.Stat(filepath.Join(c.Root, dir, name)); err == nil {
			return nil
		}
	}
	if strings.HasSuffix(name, ".go") {
		for _, pattern := range []string{"internal/*/", "internal/*/*/", "tests/*/", "tests/*/*/"} {
			if found, _ := filepath.Glob(filepath.Join(c.Root, pattern, name)); len(found) > 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("%s: there is no file %s", command.Place(), name)
}
