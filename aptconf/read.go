package aptconf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// DefaultAptConfig is where Debian's package apt has apt-config(8).
const DefaultAptConfig = "/usr/bin/apt-config"

// Query says whose configuration to read.
type Query struct {
	// AptConfig is the path of apt-config; "" is DefaultAptConfig.
	AptConfig string
	// Program is the name of the program whose configuration it is, such as
	// "apt-get": libapt takes the items below Binary::NAME for NAME alone.
	// "" is apt-config's own.
	Program string
	// Args are options for apt-config: -c and -o in the order of the command
	// line that they are taken from.
	Args []string
	// Env is the whole environment of apt-config, KEY=VALUE, of which
	// APT_CONFIG names a file of configuration.
	Env []string
}

// noDpkg keeps apt-config from running dpkg to find out of which foreign
// architectures packages are, which takes as long as all else that it does
// (apt-pkg/aptconfiguration.cc). Nobody asks for them here.
const noDpkg = "--option=APT::Architectures::=none"

// ErrApt says that apt-config ran and refused; the error around it has its
// words.
var ErrApt = errors.New("apt-config failed")

// Read runs apt-config. It fails when apt cannot read all of its configuration,
// with apt's own message, which names the file and the line: nothing may be
// decided on the part of a configuration that could be read.
func Read(ctx context.Context, q Query) (Config, error) {
	path := q.AptConfig
	if path == "" {
		path = DefaultAptConfig
	}
	args := append(append([]string(nil), q.Args...), noDpkg, "dump", "--format="+dumpFormat)
	cmd := exec.CommandContext(ctx, path, args...)
	if q.Program != "" {
		// libapt knows a program by its argv[0]
		cmd.Args[0] = q.Program
	}
	cmd.Env = q.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return Config{}, fmt.Errorf("cannot read apt's configuration: %w", ctx.Err())
		}
		if message := strings.TrimSpace(stderr.String()); message != "" {
			return Config{}, fmt.Errorf("cannot read apt's configuration: %w: %s", ErrApt, message)
		}
		return Config{}, fmt.Errorf("cannot read apt's configuration: %w", err)
	}
	c, err := Parse(stdout.Bytes())
	c.from = sources{args: q.Args, env: q.Env, program: q.Program}
	return c, err
}
