from tests.one_map_record import record
from uad_jax.comparison import kind_table, records


def entry(value):
  return {'value': value, 'interval': [value - 0.125, value + 0.125]}


def test_a_record_holds_the_auprc_of_each_kind_of_lesion_in_one_map():
  kinds = {'ms': {'scans': 2, 'auprc': entry(0.5)}, 'iso': {'auprc': entry(0.25)}}
  scorers = {'residual': {'by_pathology': kinds}, 'ssim': {'by_pathology': {'ms': {}}}}
  kept = records.kinds_of({'scorers': scorers}, 'residual')
  assert kept == {'ms': entry(0.5), 'iso': entry(0.25)}
  assert records.kinds_of({'scorers': scorers}, 'ssim') == {}


def test_the_table_by_kind_averages_the_seeds_that_have_it():
  kept = [
    record((0,), kinds={'iso': entry(0.25), 'ms': entry(0.5)}),
    record((1,), kinds={'iso': entry(0.5), 'ms': entry(0.5)}),
    record((2,)),
    record((0,), name='ae', kinds={'ms': entry(0.75)}),
    record((0,), name='atlas'),
  ]
  lines = kind_table.section(kept).splitlines()
  assert lines[-4] == '| method | iso | ms | seeds |'
  assert lines[-2] == '| vae | 0.375 [0.250, 0.500] | 0.500 [0.375, 0.625] | 2 |'
  assert lines[-1] == '| ae | – | 0.750 [0.625, 0.875] | 1 |'
  assert kind_table.section([record((0,))]) == ''
