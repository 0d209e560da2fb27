package be

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apt-be/apt-be/internal/store"
)

var (
	uuidPattern  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	noncePattern = regexp.MustCompile(`^[0-9a-f]{1,64}$`)
)

// parseRecord makes a record of the content of its file, which the UUID of its
// subvolume names. What means nothing is an error: a guess could make garbage of
// what the record names.
func parseRecord(uuid string, data []byte) (Record, error) {
	if len(data) == 0 {
		return Record{}, errors.New("it is empty")
	}
	if !utf8.Valid(data) {
		return Record{}, errors.New("it is not UTF-8")
	}
	// The schema first: a newer one may have other types.
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Record{}, err
	}
	if head.Schema > RecordSchema {
		return Record{}, fmt.Errorf("schema %d is %w", head.Schema, ErrNewerSchema)
	}
	var record Record
	if err := json.Unmarshal(data, &record); err != nil {
		return Record{}, err
	}
	return record, record.check(uuid)
}

// check says what in a record means nothing.
func (r *Record) check(uuid string) error {
	nonsense := func(field string, value any) error {
		return fmt.Errorf("its %s is %q, which means nothing", field, value)
	}
	for _, u := range []struct{ field, value string }{
		{"uuid", r.UUID}, {"origin_uuid", r.OriginUUID}, {"base_uuid", r.BaseUUID},
	} {
		if (u.value != "" || u.field == "uuid") && !uuidPattern.MatchString(u.value) {
			return nonsense(u.field, u.value)
		}
	}
	for _, past := range r.ShareSnapshots {
		if !uuidPattern.MatchString(past.UUID) {
			return nonsense("share_snapshots", past.UUID)
		}
	}
	t := r.Trial
	switch {
	case r.Schema < 1:
		return fmt.Errorf("its schema is %d, which means nothing", r.Schema)
	case r.UUID != uuid:
		return fmt.Errorf("it is that of another subvolume, %s", r.UUID)
	case !slices.Contains([]State{Creating, Ready, Trying, Blessed, FellBack, Stale, Superseded, Failed}, r.State):
		return nonsense("state", r.State)
	case r.Path != "" && store.CheckPath(r.Path) != nil:
		return nonsense("path", r.Path)
	case r.TargetName != "" && CheckName(r.TargetName) != nil:
		return nonsense("target_name", r.TargetName)
	case strings.ContainsFunc(strings.ReplaceAll(r.Parameters, "\t", " "), unicode.IsControl): // they go into the boot menu
		return nonsense("parameters", r.Parameters)
	case t != nil && !noncePattern.MatchString(t.Nonce):
		return nonsense("trial's nonce", t.Nonce)
	case t != nil && !slices.Contains([]Method{Reboot, Kexec, SoftReboot}, t.Method):
		return nonsense("trial's method", t.Method)
	}
	return nil
}
