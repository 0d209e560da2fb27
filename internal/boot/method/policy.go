package method

import (
	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
)

// PolicyItem lists, in apt's configuration, the methods that may be picked without a
// request of the user.
const PolicyItem = "Apt-Be::Activate::Methods"

// All returns the methods, the cheapest first.
func All() []be.Method { return []be.Method{be.SoftReboot, be.Kexec, be.Reboot} }

// Allowed reads PolicyItem. Without it, all methods may be picked. An unknown name is
// an error: to skip it would change the policy.
func Allowed(c aptconf.Config) ([]be.Method, error) {
	names, err := c.Methods()
	if err != nil || len(names) == 0 {
		return All(), err
	}
	allowed := make([]be.Method, len(names))
	for i, name := range names {
		allowed[i] = be.Method(name)
	}
	return allowed, nil
}
