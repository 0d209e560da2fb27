package method

import (
	"fmt"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
)

// PolicyItem lists, in apt's configuration, the methods that may be picked
// without being asked for.
const PolicyItem = "Apt-Be::Activate::Methods"

// All returns the methods, the cheapest first.
func All() []be.Method { return []be.Method{be.SoftReboot, be.Kexec, be.Reboot} }

// Allowed reads PolicyItem. Without it, all methods may be picked. A name that
// means nothing is an error: without it the policy would be another one than
// its author's.
func Allowed(c aptconf.Config) ([]be.Method, error) {
	names := c.List(PolicyItem)
	if len(names) == 0 {
		return All(), nil
	}
	allowed := make([]be.Method, len(names))
	for i, name := range names {
		m, err := Parse(aptconf.Fold(name))
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", PolicyItem, err)
		}
		allowed[i] = m
	}
	return allowed, nil
}

// Parse reads the name of a method.
func Parse(name string) (be.Method, error) {
	for _, m := range All() {
		if name == string(m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("%q is none of soft-reboot, kexec, reboot", name)
}
