// Package btrfs implements the snapshot store on a btrfs file system.
//
// It opens the top-level subvolume through a detached mount (fsmount(2)). A detached
// mount is in no mount namespace, so no other process sees it. The kernel removes it when
// the process that holds its descriptor ends. The process needs CAP_SYS_ADMIN and a
// mounted /proc.
//
// It runs on Linux 5.8 and later. What each part needs:
//
//	fsopen(2), fsconfig(2), fsmount(2)             5.2
//	openat2(2)                                     5.6
//	statx(2) with STATX_MNT_ID                     5.8
//	renameat2(2) with RENAME_NOREPLACE on btrfs    3.17
//	BTRFS_IOC_SUBVOL_CREATE, SNAP_DESTROY          2.6.29
//	BTRFS_IOC_SNAP_CREATE_V2                       2.6.37
//	BTRFS_IOC_SUBVOL_GETFLAGS, SETFLAGS            2.6.38
//	BTRFS_IOC_TREE_SEARCH, INO_LOOKUP              2.6.34
//	BTRFS_IOC_FS_INFO                              3.0
//	BTRFS_IOC_GET_SUBVOL_INFO                      4.18
//	BTRFS_IOC_TREE_SEARCH_V2                       3.16
//	BTRFS_IOC_START_SYNC, WAIT_SYNC                2.6.37
//
// Creating, snapshotting and recognizing subvolumes is the work of
// github.com/containerd/btrfs. Its SubvolInfo and SubvolList are not used
// because they guess the mount by string prefix, and its SubvolDelete is not
// because it walks the whole tree for nested subvolumes.
package btrfs
