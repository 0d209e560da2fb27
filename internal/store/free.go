package store

// Free is the free space of a file system in bytes. Space allocated for data cannot be
// used for metadata, and vice versa; unallocated space can be used for either.
type Free struct {
	Data     uint64 // allocated for contents of files; each byte counted once
	Metadata uint64 // allocated for names, attributes and small files; each byte counted once
	Spare    uint64 // unallocated space of the disks
	// DataCopies and MetadataCopies are the bytes of Spare that one byte of either
	// takes: 2 on a mirror.
	DataCopies, MetadataCopies float64
}

// DataBeside returns how many bytes of data fit in addition to that much metadata.
func (f Free) DataBeside(metadata uint64) uint64 {
	more := float64(metadata-min(metadata, f.Metadata)) * f.MetadataCopies
	return f.Data + uint64(max(0, float64(f.Spare)-more)/f.DataCopies)
}

// AllMetadata returns how many bytes of metadata fit if no data is written.
func (f Free) AllMetadata() uint64 { return f.Metadata + uint64(float64(f.Spare)/f.MetadataCopies) }

// Holds reports whether both amounts fit together.
func (f Free) Holds(data, metadata uint64) bool {
	more := float64(data-min(data, f.Data))*f.DataCopies + float64(metadata-min(metadata, f.Metadata))*f.MetadataCopies
	return more <= float64(f.Spare)
}
