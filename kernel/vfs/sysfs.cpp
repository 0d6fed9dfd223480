// SPDX-License-Identifier: BSD-2-Clause
// sysfs: the processors, disks and terminals that there are, in the files that programs look for them in. It is made of the
// same tables as procfs; an entry that stands for one of several is told by its number, ProcTarget::fd.
#include <libkern/parse.hpp>
#include <machine/boot_info.hpp>
#include <vfs/block.hpp>
#include <vfs/device.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

constexpr VnodeType file = VnodeType::regular, directory = VnodeType::directory, symlink = VnodeType::symlink;

constexpr ProcfsItem text_file(const char* name, Result<void> (*generate)(TextBuffer&, const ProcTarget&)) {
    return {.name = name, .type = file, .mode = 0444, .generate = generate};
}

ProcTarget numbered(uint32_t number) { return {nullptr, nullptr, static_cast<int>(number)}; }
unsigned number_of(const ProcTarget& target) { return static_cast<unsigned>(target.fd); }

// ---- processors: all that the machine has are there and run -----------------------------------------------------------

unsigned harts() { return machine::boot_info.hart_count; }

/// first-last, as lists of processors are written.
void range(TextBuffer& out, unsigned first, unsigned last) {
    if (first == last)
        out.add("{}\n", first);
    else
        out.add("{}-{}\n", first, last);
}
Result<void> all_harts(TextBuffer& out, const ProcTarget&) {
    range(out, 0, harts() - 1);
    return {};
}
Result<void> no_harts(TextBuffer& out, const ProcTarget&) {
    out.text("\n");
    return {};
}
Result<void> last_possible(TextBuffer& out, const ProcTarget&) {
    out.add("{}\n", harts() - 1);
    return {};
}
Result<void> own_list(TextBuffer& out, const ProcTarget& target) {
    range(out, number_of(target), number_of(target));
    return {};
}
void mask(TextBuffer& out, uint64_t bits) {
    if (harts() > 32)
        out.add("{:08x},{:08x}\n", bits >> 32, bits & 0xffffffff);
    else
        out.add("{:x}\n", bits);
}
Result<void> own_mask(TextBuffer& out, const ProcTarget& target) {
    mask(out, uint64_t{1} << number_of(target));
    return {};
}
Result<void> all_mask(TextBuffer& out, const ProcTarget&) {
    mask(out, ~uint64_t{0} >> (64 - harts()));
    return {};
}
Result<void> own_number(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", number_of(target));
    return {};
}
Result<void> zero(TextBuffer& out, const ProcTarget&) {
    out.text("0\n");
    return {};
}
Result<void> one(TextBuffer& out, const ProcTarget&) {
    out.text("1\n");
    return {};
}

// Harts are cores with one thread each; packages are not told apart.
constexpr ProcfsItem topology_items[] = {
    text_file("core_cpus", own_mask),           text_file("core_cpus_list", own_list),
    text_file("core_id", own_number),           text_file("core_siblings", all_mask),
    text_file("core_siblings_list", all_harts), text_file("package_cpus", all_mask),
    text_file("package_cpus_list", all_harts),  text_file("physical_package_id", zero),
    text_file("thread_siblings", own_mask),     text_file("thread_siblings_list", own_list),
};
constexpr ProcfsItem cpu_items[] = {
    text_file("online", one),
    {.name = "topology", .type = directory, .mode = 0755, .children = topology_items},
};
constexpr ProcfsItem cpu_item{.name = "cpu", .type = directory, .mode = 0755, .children = cpu_items};
Result<ProcTarget> find_cpu(const ProcTarget&, uint32_t number) {
    if (number >= harts())
        return Errno::noent;
    return numbered(number);
}
int64_t next_cpu(const ProcTarget&, uint32_t from) { return from < harts() ? static_cast<int64_t>(from) : -1; }
std::string_view cpu_name(const ProcTarget& found, std::span<char> buffer) {
    return format_to(buffer, "cpu{}", number_of(found));
}
Result<uint64_t> cpu_number(std::string_view name) {
    if (!name.starts_with("cpu"))
        return Errno::noent;
    return parse_number(name.substr(3), 10);
}
constexpr ProcfsItem cpus_items[] = {
    text_file("kernel_max", last_possible), text_file("offline", no_harts),  text_file("online", all_harts),
    text_file("possible", all_harts),       text_file("present", all_harts),
};
constexpr ProcfsItem system_items[] = {
    {.name = "cpu",
     .type = directory,
     .mode = 0755,
     .children = cpus_items,
     .number_item = &cpu_item,
     .find = find_cpu,
     .next = next_cpu,
     .write_name = cpu_name,
     .read_name = cpu_number},
};

// ---- disks and partitions, numbered in the order of the list of volumes ------------------------------------------------

BlockVolume* volume_at(uint32_t number) {
    BlockVolume* v = block_first();
    while (v && number-- > 0)
        v = v->next;
    return v;
}
BlockVolume& volume_of(const ProcTarget& target) { return *volume_at(number_of(target)); }

enum class Which { disks, partitions_of, all };
template<Which W>
bool is_one(const ProcTarget& above, const BlockVolume& v) {
    switch (W) {
    case Which::disks: return v.partition == 0;
    case Which::partitions_of: return v.partition != 0 && v.device == volume_of(above).device;
    case Which::all: return true;
    }
}
template<Which W>
Result<ProcTarget> find_volume(const ProcTarget& above, uint32_t number) {
    const BlockVolume* const v = volume_at(number);
    if (!v || !is_one<W>(above, *v))
        return Errno::noent;
    return numbered(number);
}
template<Which W>
int64_t next_volume(const ProcTarget& above, uint32_t from) {
    for (const BlockVolume* v = volume_at(from); v; v = v->next, from++)
        if (is_one<W>(above, *v))
            return from;
    return -1;
}
std::string_view volume_name(const ProcTarget& found, std::span<char> buffer) {
    return format_to(buffer, "{}", std::string_view(volume_of(found).name));
}
std::string_view volume_device(const ProcTarget& found, std::span<char> buffer) {
    const uint64_t number = volume_of(found).number;
    return format_to(buffer, "{}:{}", device_major(number), device_minor(number));
}
template<auto Name>
Result<uint64_t> volume_number(std::string_view name) {
    char text[40];
    uint32_t number = 0;
    for (const BlockVolume* v = block_first(); v; v = v->next, number++)
        if (name == Name(numbered(number), std::span<char>(text)))
            return uint64_t{number};
    return Errno::noent;
}

Result<void> volume_dev(TextBuffer& out, const ProcTarget& target) {
    const uint64_t number = volume_of(target).number;
    out.add("{}:{}\n", device_major(number), device_minor(number));
    return {};
}
Result<void> volume_size(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).sectors);
    return {};
}
Result<void> volume_start(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).first_sector);
    return {};
}
Result<void> volume_partition(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).partition);
    return {};
}
Result<void> volume_read_only(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).device->read_only ? 1 : 0);
    return {};
}
Result<void> volume_event(TextBuffer& out, const ProcTarget& target) {
    const BlockVolume& v = volume_of(target);
    out.add("MAJOR={}\nMINOR={}\nDEVNAME={}\nDEVTYPE={}\n", device_major(v.number), device_minor(v.number),
            std::string_view(v.name), std::string_view(v.partition == 0 ? "disk" : "partition"));
    if (v.partition != 0)
        out.add("PARTN={}\n", v.partition);
    return {};
}
Result<void> logical_block(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).device->logical_block);
    return {};
}
Result<void> max_sectors_kb(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).device->max_bytes / 1024);
    return {};
}
Result<void> max_segments(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", volume_of(target).device->max_segments);
    return {};
}
Result<void> write_cache(TextBuffer& out, const ProcTarget& target) {
    out.text(volume_of(target).device->has_cache ? "write back\n" : "write through\n");
    return {};
}
Result<void> scheduler(TextBuffer& out, const ProcTarget&) {
    out.text("[none]\n");
    return {};
}
/// From the directory that many levels below /sys.
template<const char* const& Up>
Result<void> volume_link(TextBuffer& out, const ProcTarget& target) {
    const BlockVolume& v = volume_of(target);
    out.add("{}devices/block/", std::string_view(Up));
    for (const BlockVolume* disk = block_first(); disk && v.partition != 0; disk = disk->next)
        if (disk->device == v.device && disk->partition == 0)
            out.add("{}/", std::string_view(disk->name));
    out.text(v.name);
    return {};
}
constexpr const char *up_one = "../", *up_two = "../../";

constexpr ProcfsItem partition_items[] = {
    text_file("dev", volume_dev),   text_file("partition", volume_partition), text_file("ro", volume_read_only),
    text_file("size", volume_size), text_file("start", volume_start),         text_file("uevent", volume_event),
};
constexpr ProcfsItem partition_item{.name = "part", .type = directory, .mode = 0755, .children = partition_items};
// What is not known of a disk (whether it turns, its best unit) has no file, for which programs take what suits them.
constexpr ProcfsItem queue_items[] = {
    text_file("hw_sector_size", logical_block),
    text_file("logical_block_size", logical_block),
    text_file("max_hw_sectors_kb", max_sectors_kb),
    text_file("max_sectors_kb", max_sectors_kb),
    text_file("max_segments", max_segments),
    text_file("minimum_io_size", logical_block),
    text_file("optimal_io_size", zero),
    text_file("physical_block_size", logical_block),
    text_file("scheduler", scheduler),
    text_file("write_cache", write_cache),
    text_file("discard_max_bytes", zero),
    text_file("discard_granularity", zero),
};
constexpr ProcfsItem disk_items[] = {
    text_file("dev", volume_dev),      text_file("removable", zero),
    text_file("ro", volume_read_only), text_file("size", volume_size),
    text_file("uevent", volume_event), {.name = "queue", .type = directory, .mode = 0755, .children = queue_items},
};
constexpr ProcfsItem disk_item{.name = "disk",
                               .type = directory,
                               .mode = 0755,
                               .children = disk_items,
                               .number_item = &partition_item,
                               .find = find_volume<Which::partitions_of>,
                               .next = next_volume<Which::partitions_of>,
                               .write_name = volume_name,
                               .read_name = volume_number<volume_name>};
constexpr ProcfsItem link_one{.name = "link", .type = symlink, .mode = 0777, .link = volume_link<up_one>};
constexpr ProcfsItem link_two{.name = "link", .type = symlink, .mode = 0777, .link = volume_link<up_two>};

// ---- terminals -----------------------------------------------------------------------------------------------------------

CharDevice* device_at(uint32_t number) {
    CharDevice* d = device_first();
    while (d && number-- > 0)
        d = d->next;
    return d;
}
CharDevice& device_of(const ProcTarget& target) { return *device_at(number_of(target)); }
bool is_terminal(const CharDevice& d) {
    constexpr gid_t tty_group = 5;
    return d.gid == tty_group;
}
Result<ProcTarget> find_terminal(const ProcTarget&, uint32_t number) {
    const CharDevice* const d = device_at(number);
    if (!d || !is_terminal(*d))
        return Errno::noent;
    return numbered(number);
}
int64_t next_terminal(const ProcTarget&, uint32_t from) {
    for (const CharDevice* d = device_at(from); d; d = d->next, from++)
        if (is_terminal(*d))
            return from;
    return -1;
}
std::string_view terminal_name(const ProcTarget& found, std::span<char> buffer) {
    return format_to(buffer, "{}", std::string_view(device_of(found).name));
}
Result<uint64_t> terminal_number(std::string_view name) {
    uint32_t number = 0;
    for (const CharDevice* d = device_first(); d; d = d->next, number++)
        if (name == d->name)
            return uint64_t{number};
    return Errno::noent;
}
Result<void> terminal_dev(TextBuffer& out, const ProcTarget& target) {
    const uint64_t number = device_of(target).number;
    out.add("{}:{}\n", device_major(number), device_minor(number));
    return {};
}
Result<void> terminal_event(TextBuffer& out, const ProcTarget& target) {
    const CharDevice& d = device_of(target);
    out.add("MAJOR={}\nMINOR={}\nDEVNAME={}\n", device_major(d.number), device_minor(d.number),
            std::string_view(d.name));
    return {};
}
Result<void> terminal_link(TextBuffer& out, const ProcTarget& target) {
    out.add("../../devices/virtual/tty/{}", std::string_view(device_of(target).name));
    return {};
}
constexpr ProcfsItem terminal_items[] = {text_file("dev", terminal_dev), text_file("uevent", terminal_event)};
constexpr ProcfsItem terminal_item{.name = "tty", .type = directory, .mode = 0755, .children = terminal_items};
constexpr ProcfsItem terminal_link_item{.name = "link", .type = symlink, .mode = 0777, .link = terminal_link};

// ---- the tree ------------------------------------------------------------------------------------------------------------

constexpr ProcfsItem folder(const char* name, std::span<const ProcfsItem> children) {
    return {.name = name, .type = directory, .mode = 0755, .children = children};
}
/// A directory with `item` for each terminal.
constexpr ProcfsItem terminals(const ProcfsItem& item) {
    return {.name = "tty",
            .type = directory,
            .mode = 0755,
            .number_item = &item,
            .find = find_terminal,
            .next = next_terminal,
            .write_name = terminal_name,
            .read_name = terminal_number};
}
/// A directory with `item` for each disk, or for each volume, under the name that `write` gives.
template<Which which, auto write = volume_name>
constexpr ProcfsItem volumes(const ProcfsItem& item) {
    return {.name = "block",
            .type = directory,
            .mode = 0755,
            .number_item = &item,
            .find = find_volume<which>,
            .next = next_volume<which>,
            .write_name = write,
            .read_name = volume_number<write>};
}

constexpr ProcfsItem virtual_items[] = {terminals(terminal_item)};
constexpr ProcfsItem devices_items[] = {volumes<Which::disks>(disk_item), folder("system", system_items),
                                        folder("virtual", virtual_items)};
constexpr ProcfsItem class_items[] = {volumes<Which::all>(link_two), terminals(terminal_link_item)};
constexpr ProcfsItem dev_items[] = {volumes<Which::all, volume_device>(link_two)};
constexpr ProcfsItem root_items[] = {volumes<Which::disks>(link_one), folder("class", class_items),
                                     folder("dev", dev_items), folder("devices", devices_items)};
constexpr ProcfsItem root_item{.name = "/", .type = directory, .mode = 0555, .children = root_items};

} // namespace

Result<RefPtr<Mount>> sysfs_mount(const MountRequest&) { return procfs_mount_tree(root_item, 0x62656572); }

} // namespace lentil
