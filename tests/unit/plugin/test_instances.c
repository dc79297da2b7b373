/* Seats: every plugin has two, whatever instances were made before it came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/instances.h"

static mti_plugins *plugins;
static mti_host host;

static int set_up(void **state)
{
    plugins = calloc(1, sizeof *plugins);
    plugins->seats = (mti_names){.list = plugins->seat_names, .max = MTI_BUS_SEATS, .lock = PTHREAD_MUTEX_INITIALIZER};
    mti_names_id(&plugins->seats, "host");
    host.plugins = plugins;
    return 0;
}

static int tear_down(void **state)
{
    mti_names_dispose(&plugins->seats);
    free(plugins);
    return 0;
}

static mti_plugin_record record(const char *slug)
{
    return (mti_plugin_record){.slug = slug, .host = &host};
}

static void test_names_of_instances_leave_places_for_plugins(void **state)
{
    mti_plugin_record busy = record("busy");
    char name[32];
    unsigned made = 0;
    for (; made < 2 * MTI_BUS_SEATS; made++) {
        snprintf(name, sizeof name, "n%u", made);
        if (!mti_instances_room(&busy, name))
            break;
        snprintf(name, sizeof name, "busy:n%u", made);
        assert_true(mti_names_id(&plugins->seats, name) > 0);
    }
    assert_in_range(made, 256, MTI_BUS_SEATS - 2 * MTI_MAX_PLUGINS);
    assert_true(mti_instances_room(&busy, "n0"));    /* a name that had one keeps it */
    assert_false(mti_instances_room(&busy, "one_more"));
    bool seen[MTI_BUS_SEATS] = {false};
    for (unsigned i = 0; i < MTI_MAX_PLUGINS; i++) {
        snprintf(name, sizeof name, "late%u", i);
        mti_plugin_record late = record(name);
        mti_instances_init(&late);
        const mti_instance *own = mti_instance_find(&late, MT_SLICE(""));
        assert_non_null(own);
        for (int k = 0; k < 2; k++) {
            assert_in_range(own->seats[k], 1, MTI_BUS_SEATS - 1);
            assert_false(seen[own->seats[k]]);
            seen[own->seats[k]] = true;
        }
        mti_instances_dispose(&late);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_names_of_instances_leave_places_for_plugins, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
