package cli

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/method"
	"github.com/apt-be/apt-be/internal/boot/setup"
	"github.com/apt-be/apt-be/internal/dedupe"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// documented are the objects of docs/json.md, by heading.
var documented = map[string]any{
	"Environment":           &envJSON{},
	"Changes":               &be.Changes{},
	"Kernel":                &be.Kernel{},
	"Status":                &statusJSON{},
	"Difference":            &diffJSON{},
	"Package":               &pkgdb.Change{},
	"Prune decision":        &pruneJSON{},
	"Destruction":           &destructionJSON{},
	"Destroyed environment": &destroyedJSON{},
	"Nested subvolume":      &nestedJSON{},
	"Fallback":              &levelJSON{},
	"Drift summary":         &driftSummaryJSON{},
	"Trial":                 &trialJSON{},
	"Plan":                  &planJSON{},
	"Method":                &method.Option{},
	"Doctor report":         &doctorJSON{},
	"Finding":               &setup.Finding{},
	"Dedupe result":         &dedupeJSON{},
	"Count":                 &dedupe.Count{},
	"Drift":                 &driftJSON{},
	"Changed file":          &driftedJSON{},
	"Renumbered":            &renumberedJSON{},
	"Share":                 &shareJSON{},
	"Snapshot":              &shareSnapshotJSON{},
	"Explanation":           &upgrade.Explanation{},
	"Setting":               &aptconf.Setting{},
	"Upgrade logs":          &logJSON{},
	"Upgrade log":           &upgrade.Log{},
	"Step":                  &upgrade.Step{},

	"Differing files": &filesJSON{},
	"Differing file":  &fileJSON{},
}

// row matches a row of a table of fields: name, presence and type.
var row = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (always|if any) \\| ([a-z ]+) \\| .+ \\|$")

// field is the documentation of a field.
type field struct{ There, Type string }

func TestJSONIsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		object, ok := documented[heading]
		if !ok {
			continue
		}
		seen++
		want := map[string]field{}
		for _, match := range row.FindAllStringSubmatch(text, -1) {
			want[match[1]] = field{match[2], match[3]}
		}
		if diff := cmp.Diff(want, fieldsOf(t, object)); diff != "" {
			t.Errorf("%s is not as documented (-documented +printed):\n%s", heading, diff)
		}
	}
	if seen != len(documented) {
		t.Errorf("docs/json.md has %d of %d sections", seen, len(documented))
	}
}

// fieldsOf marshals an object without values and one with a value in each field, and
// compares the two.
func fieldsOf(t *testing.T, object any) map[string]field {
	t.Helper()
	empty := marshal(t, object)
	fill(reflect.ValueOf(object).Elem())
	fields := map[string]field{}
	for name, value := range marshal(t, object) {
		f := field{There: "if any", Type: typeOf(value)}
		if _, ok := empty[name]; ok {
			f.There = "always"
		}
		fields[name] = f
	}
	return fields
}

func marshal(t *testing.T, object any) map[string]any {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func typeOf(value any) string {
	switch v := value.(type) {
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			return "time"
		}
		return "string"
	case []any:
		return "list of " + typeOf(v[0]) + "s"
	case map[string]any:
		return "object"
	}
	return "nothing"
}

// fill sets each field to a value other than zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	}
}
