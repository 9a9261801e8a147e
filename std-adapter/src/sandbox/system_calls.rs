//! Refuses system calls that no gateway makes, and that attacks on the kernel or on other processes do.

/// Filters the system calls of all threads. Returns how many are refused, or why none is.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub(super) fn filter() -> Result<Result<usize, String>, String> {
    match linux::filter() {
        Ok(refused) => Ok(Ok(refused)),
        // A kernel or an emulator without filters.
        Err(seccompiler::Error::Seccomp(error))
            if error.raw_os_error().is_some_and(|code| code == libc::EINVAL || code == libc::ENOSYS) =>
        {
            Ok(Err("this kernel has no seccomp filters, system calls are not confined".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))))]
pub(super) fn filter() -> Result<Result<usize, String>, String> {
    Ok(Err(format!("seccomp is not filtered on {}, system calls are not confined", std::env::consts::ARCH)))
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod linux {
    use std::collections::BTreeMap;

    use seccompiler::{
        BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, apply_filter_all_threads,
    };

    /// The system calls that are answered with EPERM.
    const REFUSED: &[i64] = &[
        // Other processes' memory and descriptors.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_semctl,
        libc::SYS_msgget,
        libc::SYS_msgsnd,
        libc::SYS_msgrcv,
        libc::SYS_msgctl,
        libc::SYS_kcmp,
        // Programs: hooks run in the helper.
        libc::SYS_execve,
        libc::SYS_execveat,
        // Namespaces, mounts, roots.
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_quotactl,
        // Kernels and modules.
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
        libc::SYS_syslog,
        libc::SYS_acct,
        // Large parts of the kernel that nothing here uses, and that had many faults.
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_fanotify_init,
        libc::SYS_open_by_handle_at,
        libc::SYS_move_pages,
        libc::SYS_migrate_pages,
        libc::SYS_vhangup,
        libc::SYS_personality,
        // The machine's name and time.
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_iopl,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_ioperm,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_modify_ldt,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_uselib,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_ustat,
    ];

    /// The bit of the second set of numbers of x86-64, x32, and the numbers that only that set has.
    #[cfg(target_arch = "x86_64")]
    const X32: (i64, std::ops::RangeInclusive<i64>) = (0x4000_0000, 512..=547);

    /// The flags by which `clone` makes namespaces, where a process would have capabilities again. That of times belongs
    /// to clone3 alone.
    const NAMESPACES: [i32; 7] = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];

    /// The families of sockets that are used. Others reach further than Landlock's ports, or parts of the kernel that
    /// nothing here uses.
    const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

    /// Their protocols: the usual one, TCP and UDP. Landlock knows no ports of MPTCP and SCTP.
    const PROTOCOLS: [i32; 3] = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP];

    /// The calls that send, with the place of their flags.
    const SENDING: [(i64, u8); 3] = [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)];

    /// The requests of ioctl that type into a terminal, TIOCSTI and TIOCLINUX (ioctl_tty(2)).
    const TYPING: [u64; 2] = [0x5412, 0x541c];

    /// Returns a rule for an argument that is none of these.
    fn none_of(argument: u8, known: &[i32]) -> Result<SeccompRule, BackendError> {
        let other = |value: &i32| {
            let value = u64::try_from(*value).unwrap_or_default();
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
        };
        SeccompRule::new(known.iter().map(other).collect::<Result<_, _>>()?)
    }

    /// Returns a rule for an argument of 32 bits that compares so.
    fn one(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)?])
    }

    fn errno(number: i32) -> SeccompAction {
        SeccompAction::Errno(u32::try_from(number).unwrap_or(1))
    }

    /// Compiles rules that answer with an error.
    fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, number: i32) -> Result<BpfProgram, BackendError> {
        let arch = std::env::consts::ARCH.try_into()?;
        SeccompFilter::new(rules, SeccompAction::Allow, errno(number), arch)?.try_into()
    }

    pub(super) fn filter() -> Result<usize, Error> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        #[cfg(target_arch = "x86_64")]
        {
            let (bit, own) = X32;
            rules.extend(REFUSED.iter().map(|call| (call | bit, Vec::new())));
            rules.extend(own.map(|call| (call | bit, Vec::new())));
            rules.extend([libc::SYS_clone, libc::SYS_clone3].map(|call| (call | bit, Vec::new())));
        }
        let mut namespaces = Vec::new();
        for flag in NAMESPACES {
            let flag = u64::try_from(flag).unwrap_or_default();
            let set = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
            namespaces.push(SeccompRule::new(vec![set])?);
        }
        rules.insert(libc::SYS_clone, namespaces);
        rules.insert(libc::SYS_socket, vec![none_of(0, &FAMILIES)?, none_of(2, &PROTOCOLS)?]);
        // TCP Fast Open connects without the call that Landlock judges.
        let fast = u64::try_from(libc::MSG_FASTOPEN).unwrap_or_default();
        for (call, flags) in SENDING {
            rules.insert(call, vec![one(flags, SeccompCmpOp::MaskedEq(fast), fast)?]);
        }
        let typing = TYPING.iter().map(|request| one(1, SeccompCmpOp::Eq, *request));
        rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
        // A limit of another process can end it.
        rules.insert(libc::SYS_prlimit64, vec![one(0, SeccompCmpOp::Ne, 0)?]);
        let refused = program(rules, libc::EPERM)?;
        // A filter cannot see the flags of clone3. Without it, threads are made by clone.
        let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        apply_filter_all_threads(&program(absent, libc::ENOSYS)?)?;
        apply_filter_all_threads(&refused)?;
        // clone with namespaces, and clone3.
        Ok(REFUSED.len().saturating_add(2))
    }
}
