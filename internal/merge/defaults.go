package merge

import (
	_ "embed"
	"fmt"
)

//go:embed defaults
var defaults []byte

// DefaultRules returns the rules that precede those of the synclist.
func DefaultRules() Rules {
	rules, err := ParseRules("the default rules", defaults)
	if err != nil {
		panic(fmt.Sprintf("cannot read %v", err))
	}
	for i := range rules {
		rules[i].Own = false
	}
	return rules
}
