package aptconf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// DefaultAptConfig is the path of apt-config(8) in Debian's package apt.
const DefaultAptConfig = "/usr/bin/apt-config"

// Query selects the configuration to read.
type Query struct {
	// AptConfig is the path of apt-config; "" means DefaultAptConfig.
	AptConfig string
	// Program is the name of the program whose configuration is read, such as
	// "apt-get": libapt applies the items below Binary::NAME only to NAME. "" means
	// apt-config itself.
	Program string
	// Args are options for apt-config: -c and -o, in the order of the original command
	// line.
	Args []string
	// Env is the complete environment of apt-config, as KEY=VALUE. APT_CONFIG in it
	// names a configuration file.
	Env []string
}

// noDpkg prevents apt-config from running dpkg to list foreign architectures, which
// takes as long as everything else (apt-pkg/aptconfiguration.cc). The list is not
// needed here.
const noDpkg = "--option=APT::Architectures::=none"

// ErrApt reports that apt-config ran and failed. The error that wraps it contains
// apt-config's message.
var ErrApt = errors.New("apt-config failed")

// Read runs apt-config. It fails if apt cannot read all of its configuration; the error
// contains apt's message with file and line. No decision may be based on a part of a
// configuration.
func Read(ctx context.Context, q Query) (Config, error) {
	path := q.AptConfig
	if path == "" {
		path = DefaultAptConfig
	}
	args := append(append([]string(nil), q.Args...), noDpkg, "dump", "--format="+dumpFormat)
	cmd := exec.CommandContext(ctx, path, args...)
	if q.Program != "" {
		// libapt identifies a program by argv[0]
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
