package main
import (
 _ "github.com/containerd/btrfs/v2"
 _ "github.com/knqyf263/go-deb-version"
 _ "github.com/sirupsen/logrus"
 _ "github.com/spf13/cobra"
 _ "github.com/moby/sys/mountinfo"
 _ "golang.org/x/sys/unix"
 _ "pault.ag/go/debian/control"
 _ "pault.ag/go/debian/dependency"
 _ "github.com/google/go-cmp/cmp"
 _ "github.com/rogpeppe/go-internal/testscript"
)
func main(){}
